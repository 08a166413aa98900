def put_between(document: str, begin: str, end: str, text: str) -> str:
    """The document with this text, and no other, between two markers."""
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}"
