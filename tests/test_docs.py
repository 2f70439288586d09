"""References and links in the documentation."""

import re

from tests.forked import ROOT

CITATION = re.compile(r"[^\W\d_][\w-]+ (?:and [^\W\d_][\w-]+|et al\.) (?:19|20)\d\d[a-z]?\b")


def test_every_cited_paper_is_in_the_references():
    listed = (ROOT / "docs" / "references.md").read_text("utf-8")
    texts = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("gan/**/*.py"), *ROOT.glob("conf/**/*.yaml")]
    cited = {paper for path in texts for paper in CITATION.findall(re.sub(r"\s+(# )?", " ", path.read_text("utf-8")))}
    assert len(cited) > 30 and not {paper for paper in cited if paper not in listed}


def test_every_relative_link_has_a_target():
    for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        links = re.findall(r"\]\(([^):#]+)\)", path.read_text("utf-8"))
        assert not [link for link in links if not (path.parent / link).exists()]
