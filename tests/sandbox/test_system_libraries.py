from adapters.sandbox import linux


def test_where_everything_is_installed_there_is_nothing_to_advise() -> None:
    assert linux.missing_library_advice() is None


def test_one_line_names_every_package_that_is_missing() -> None:
    advice = linux.missing_library_advice({"libc.so.6": "libc6", "libnowhere.so.1": "one", "libneither.so.2": "two"})
    assert advice == "Missing system libraries. Install them with: sudo apt-get install -y one two"
