"use strict";
// The threshold explorer: what would go at another place of a step's histogram. Without this script the pictures stay.
const curves = JSON.parse(document.getElementById("curves").textContent);
const whole = new Intl.NumberFormat("en");

for (const curve of curves) {
  const figure = document.querySelector(`[data-step="${CSS.escape(curve.step)}"]`);
  if (!figure) continue;
  const slider = figure.querySelector("input");
  const output = figure.querySelector("output");
  const line = figure.querySelector(".threshold");
  const bars = [...figure.querySelectorAll("[data-bar]")];
  const all = curve.bars.reduce((sum, bar) => sum + bar[7], 0);
  const show = () => {
    const place = Number(slider.value);
    const threshold = place < curve.bars.length ? curve.bars[place][5] : curve.high;
    let gone = 0;
    curve.bars.forEach((bar, index) => {
      const goes = index >= place;
      if (goes) gone += bar[7];
      bars[index].setAttribute("class", goes ? "fill-gone" : "fill-kept");
    });
    const x = place < curve.bars.length ? curve.bars[place][0] : curve.width;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    const share = all ? ((100 * (all - gone)) / all).toFixed(1) : "0.0";
    output.textContent =
      `above ${threshold.toFixed(4)}: ${whole.format(gone)} would go, ${whole.format(all - gone)} of ` +
      `${whole.format(all)} that have a score would stay (${share} %)`;
  };
  figure.querySelector(".slider").hidden = false;
  slider.addEventListener("input", show);
}
