"""Print README's test command: the one line of its bash blocks that ends in `-m pytest`."""

import re
import sys
from pathlib import Path

readme = Path(sys.argv[1])
blocks = re.findall(r"^```bash\n(.*?)^```$", readme.read_text("utf-8"), re.MULTILINE | re.DOTALL)
commands = [line for block in blocks for line in block.splitlines() if line.endswith("-m pytest")]
if len(commands) != 1:
    sys.exit(f"{readme}: {len(commands)} lines of its bash blocks end in '-m pytest'; there must be 1, which CI runs.")
print(commands[0])
