"""Where messages go out: signed webhooks, and chats and mailboxes through Apprise."""
