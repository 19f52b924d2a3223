// Runs beside a frame that holds a page, and writes what it measures there into the document.
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), view = frame.contentWindow, page = frame.contentDocument;
  const root = page.documentElement, width = view.innerWidth;
  // What is cut off by, or scrolls in, a box of its own does not widen the page.
  const inBox = (element) => {
    for (let e = element.parentElement; e && e !== page.body; e = e.parentElement)
      if (view.getComputedStyle(e).overflowX !== "visible") return true;
    return false;
  };
  const elements = [...page.body.querySelectorAll("*")].filter((e) => e.checkVisibility());
  const outside = elements
    .filter((e) => (e.getBoundingClientRect().right > width + 0.5 || e.getBoundingClientRect().left < -0.5) && !inBox(e))
    .map((e) => `${e.tagName} ${e.getBoundingClientRect().right}: ${e.textContent.slice(0, 40)}`);
  const ownText = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const texts = elements.filter(ownText);
  // Letters in an SVG are scaled with it.
  const letters = texts.map((e) => {
    const size = parseFloat(view.getComputedStyle(e).fontSize), svg = e.closest("svg");
    return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size;
  });
  // Contrast as WCAG 2.2 defines it, of letters on the colours that lie behind them.
  const channels = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return numbers.length === 3 ? [...numbers, 1] : numbers;
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      layers.push(channels(view.getComputedStyle(e).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((under, [r, g, b, a]) => [r, g, b].map((c, i) => a * c + (1 - a) * under[i]), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (e) => {
    const style = view.getComputedStyle(e);
    const ink = luminance(channels(e.closest("svg") ? style.fill : style.color).slice(0, 3)), paper = luminance(behind(e));
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  const contrasts = texts.map(contrast), least = Math.min(...contrasts);
  const found = {
    innerWidth: width,
    scrollWidth: root.scrollWidth,
    height: root.scrollHeight,
    outside,
    images: page.images.length,
    brokenImages: [...page.images].filter((image) => !image.complete || !image.naturalWidth).length,
    plots: page.querySelectorAll("svg[role=img]").length,
    loaded: view.performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
    smallestLetters: Math.min(...letters),
    leastContrast: least,
    leastContrastText: texts[contrasts.indexOf(least)].textContent.slice(0, 40),
  };
  const said = document.createElement("pre");
  said.id = "measured";
  said.textContent = JSON.stringify(found);
  document.body.append(said);
});
