from pathlib import Path

from tests.processes import ROOT

ANSIBLE = ROOT / "ansible"
EXAMPLES = Path(__file__).parent
