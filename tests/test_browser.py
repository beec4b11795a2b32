"""Without a browser, tests that need one are skipped with a reason, which fails CI."""

from pathlib import Path

import pytest

from tests.browser import _run, chromium_or_skip

pytestmark = pytest.mark.slow


def test_without_a_browser_tests_are_skipped_and_ci_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "bin" / "chromium"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=":")
    (tmp_path / "test_it.py").write_text("def test_it(browser):\n    assert False\n")
    # In this process, because a new one would import all of `tests.conftest` again.
    arguments = ["-p", "no:faulthandler", "-p", "tests.conftest", "-ra", "--no-skips", str(tmp_path)]
    assert pytest.main(arguments) == pytest.ExitCode.TESTS_FAILED
    said = capsys.readouterr().out
    assert "Chromium does not start" in "".join(said.splitlines()[-3:])


def test_if_no_browser_can_be_installed_the_skipped_test_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    # No Chromium, no apt-get, no earlier download of Playwright, and no folder for a new one.
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(file / "browsers"))
    with pytest.raises(pytest.skip.Exception) as skipped, chromium_or_skip():
        pass
    assert "none can be installed: Error: ENOTDIR" in str(skipped.value)


def test_of_a_failed_installation_the_first_error_is_said() -> None:
    fails = "echo start; printf 'at first\\nError: full\\n  at line 5\\n' >&2; exit 1"
    assert _run(["sh", "-c", fails]) == "Error: full"
