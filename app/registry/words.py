CAPACITY = 1_000
OTHER = "other"


class Words:
    """Numbers for words of which there are few, such as a market's result. Should there ever be many, the late ones
    share a name: what the exchange said is in the database."""

    def __init__(self, *known: str) -> None:
        self._words = [OTHER, *known]
        self._numbers = {word: number for number, word in enumerate(self._words)}

    def number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is not None:
            return number
        if len(self._words) == CAPACITY:
            return 0
        self._words.append(word)
        self._numbers[word] = len(self._words) - 1
        return self._numbers[word]

    def word(self, number: int) -> str:
        return self._words[number]
