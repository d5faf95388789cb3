// The texts of a lesson's outputs that stand out too little from what is painted behind them, with their contrast:
// at least 4.5 is wanted, and 3 of large letters (WCAG 2.2, https://www.w3.org/TR/WCAG22/#contrast-minimum).
() => {
  const parse = colour => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const over = (top, below) => top.rgb.map((value, i) => value * top.a + below[i] * (1 - top.a));
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const paint = element => {
    const style = getComputedStyle(element);
    if (!(element instanceof SVGElement) || element.tagName === "svg") return style.backgroundColor;
    return ["rect", "path", "circle", "ellipse"].includes(element.tagName) ? style.fill : "none";
  };
  const behind = (element, x, y) => {
    const stack = document.elementsFromPoint(x, y);
    const from = stack.findIndex(it => it === element || element.contains(it));
    const layers = [];
    for (const it of stack.slice(Math.max(from, 0))) {
      const colour = paint(it);
      if (!/^rgb/.test(colour)) continue;
      layers.unshift(parse(colour));
      if (layers[0].a === 1) break;
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const faint = new Set();
  for (const output of document.querySelectorAll(".jp-OutputArea-output")) {
    const walker = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement, words = node.textContent.replace(/\u200b/g, "").trim();
      if (!words || element.closest("title, desc, script, style, button:disabled, [disabled]")) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const box = [...range.getClientRects()].find(rect => rect.width > 0 && rect.height > 0);
      if (!box) continue;
      const style = getComputedStyle(element);
      const ground = behind(element, box.x + box.width / 2, box.y + box.height / 2);
      let ink = parse(element instanceof SVGElement ? style.fill : style.color);
      for (let it = element; it && it !== output; it = it.parentElement) ink.a *= Number(getComputedStyle(it).opacity);
      const ratio = contrast(over(ink, ground), ground);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
      if (ratio < (large ? 3 : 4.5)) faint.add(`${ratio.toFixed(2)} ${words.slice(0, 60)}`);
    }
  }
  return [...faint];
}
