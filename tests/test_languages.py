import pytest

from weaklm.languages import language_of, names_language, script_of, scripts

SENTENCES = {
    "de": "Sie können Ihre Karte in jeder Filiale abholen, und die Gebühr wird im Mai berechnet.",
    "en": "You can pick up your card in any branch, and the fee is charged in May.",
    "es": "Puede cerrar la cuenta en una oficina del banco, pero hay una comisión de 5 euros.",
    "fr": "Vous pouvez fermer le compte en ligne ou dans une agence de la banque.",
    "it": "Il conto può essere chiuso in una filiale della banca o con la app.",
    "nl": "De rekening kan worden gesloten bij een kantoor van de bank of in de app.",
    "pl": "Konto można zamknąć przez aplikację, ale nie jest to możliwe przez telefon.",
    "pt": "Você pode fechar a conta em uma agência do banco ou no aplicativo, mas não por telefone.",
    "sv": "Kontot kan stängas på ett av bankens kontor eller i appen, och det kostar inte något för dig.",
    "tr": "Hesap bir şubede veya uygulama ile kapanabilir, ama bu işlem için çok beklemek gerekir.",
    "cyrillic": "Вы можете закрыть счёт в любом отделении.",
    "han": "口座はどの支店でも閉じることができます。",
    "arabic": "يمكنك إغلاق الحساب في أي فرع.",
}


@pytest.mark.parametrize("expected", SENTENCES)
def test_tells_the_language_of_a_sentence(expected: str) -> None:
    assert language_of(SENTENCES[expected]) == expected


@pytest.mark.parametrize("text", ["", "12 %", "Card fee?", "Ja.", "Visa Mastercard Maestro"])
def test_says_nothing_of_a_few_words(text: str) -> None:
    assert language_of(text) == ""


def test_the_script_is_that_of_most_letters() -> None:
    assert script_of("The word банк means bank.") == "latin"
    assert script_of("Слово bank значит банк.") == "cyrillic"


def test_a_letter_of_a_formula_is_no_word_but_a_letter_inside_a_word_is_one() -> None:
    assert scripts("π is 3.14 and µ is small, café") == frozenset()
    assert scripts("pаypal") == {"cyrillic"}  # noqa: RUF001 (the a is Cyrillic)


def test_names_of_languages() -> None:
    assert names_language("Please translate this.")
    assert not names_language("How do I finish the form?")
