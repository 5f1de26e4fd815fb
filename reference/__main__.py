"""``python -m reference``: write every page of docs/reference anew."""

from __future__ import annotations

from reference.pages import FOLDER, PAGES, written


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(written(name))
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
