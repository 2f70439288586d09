"""What the texts promise."""

import re

from tests.forked import ROOT

NAMED = re.compile(r"[^\W\d_][\w-]+ (?:and [^\W\d_][\w-]+|et al\.) (?:19|20)\d\d[a-z]?\b")


def test_every_paper_that_is_named_can_be_found():
    listed = (ROOT / "docs" / "references.md").read_text("utf-8")
    texts = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("gan/**/*.py"), *ROOT.glob("conf/**/*.yaml")]
    named = {paper for path in texts for paper in NAMED.findall(re.sub(r"\s+(# )?", " ", path.read_text("utf-8")))}
    assert len(named) > 30 and not {paper for paper in named if paper not in listed}


def test_no_link_leads_nowhere():
    for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        links = re.findall(r"\]\(([^):#]+)\)", path.read_text("utf-8"))
        assert not [link for link in links if not (path.parent / link).exists()]
