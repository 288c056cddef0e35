import subprocess
import sys

from tests.support.tiny_shop import PROJECT


def test_the_help_loads_no_library_of_tables_models_or_dvc() -> None:
    code = (
        "import sys\n"
        "from pipeline.lifecycle.__main__ import main\n"
        "try:\n"
        "    main(['run', '--help'])\n"
        "finally:\n"
        "    heavy = {'pandas', 'pyarrow', 'dvc', 'mlflow', 'tensorflow', 'ruamel', 'psutil'}\n"
        "    print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"
