"""What of a page stands out from its ground too little to be read (WCAG 2.1, success criterion 1.4.3)."""

from __future__ import annotations

from support.browser import Browser

POOR = """
  const channel = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  // rgb(26 127 55), and what was mixed: color(srgb 0.1 0.5 0.2), of parts of one.
  const numbers = (s) => s.match(/[\\d.]+/g).map((n, at) => s.startsWith("color(") && at < 3 ? n * 255 : +n);
  const paper = (e) => {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (e.classList.contains("skip") || !e.offsetParent) continue;
    const [a, b] = [light(numbers(getComputedStyle(e).color)), light(paper(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)}: ${e.textContent}`);
  }
  return poor;
"""


def poor(browser: Browser) -> list[str]:
    """What has less than 4.5 to 1 between text and ground."""
    found: list[str] = browser.run(POOR)
    return found
