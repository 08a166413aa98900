// Candles of a market, drawn with uPlot, which has lines and bars but no candles of its own.
"use strict";

(() => {
  const place = document.getElementById("candles");
  const CENT_E6 = 10000;
  const REFRESH_MS = 15000;
  const SECONDS = { "1m": 60, "1h": 3600, "1d": 86400 };
  const LEAST_SHOWN = 20;
  let interval = "1m";
  let chart = null;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function inWords(seconds) {
    const text = new Date(seconds * 1000).toISOString();
    return interval === "1m" ? text.slice(11, 16) : interval === "1h" ? `${text.slice(5, 10)} ${text.slice(11, 13)}h` : text.slice(0, 10);
  }

  function drawCandles(u) {
    const [times, opens, highs, lows, closes] = u.data;
    const step = u.valToPos(times[0] + SECONDS[interval], "x", true) - u.valToPos(times[0], "x", true);
    const width = Math.max(1, Math.min(12 * devicePixelRatio, step * 0.7));
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    u.ctx.clip();
    for (let i = 0; i < times.length; i++) {
      const x = u.valToPos(times[i], "x", true);
      const [open, high, low, close] = [opens[i], highs[i], lows[i], closes[i]].map((v) => u.valToPos(v, "y", true));
      u.ctx.fillStyle = u.ctx.strokeStyle = colour(closes[i] >= opens[i] ? "--good" : "--bad");
      u.ctx.fillRect(x - width / 2, Math.min(open, close), width, Math.max(devicePixelRatio, Math.abs(close - open)));
      u.ctx.fillRect(x - devicePixelRatio / 2, high, devicePixelRatio, low - high);
    }
    u.ctx.restore();
  }

  // Few candles do not fill the width: they would stand apart as if hours lay between them.
  // The bounds that uPlot passes are not used: it stretches those of a single candle over years.
  function shownTime(u) {
    const [first, last] = [u.data[0][0], u.data[0].at(-1)];
    const step = SECONDS[interval];
    return [Math.min(first - step, last - LEAST_SHOWN * step), last + step];
  }

  function options() {
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const hidden = (label) => ({ label, stroke: colour("--faint"), paths: () => null, points: { show: false }, value: (_, v) => (v == null ? "–" : v + "¢") });
    return {
      width: place.clientWidth,
      height: 260,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: true, range: shownTime }, y: { range: (_, low, high) => [Math.max(0, low - 1), Math.min(100, high + 1)] } },
      axes: [{ ...axis, space: 80, values: (_, ticks) => ticks.map(inWords) }, { ...axis, values: (_, ticks) => ticks.map((tick) => tick + "¢") }],
      series: [{ label: "Time", value: (_, seconds) => (seconds == null ? "–" : inWords(seconds)) }, hidden("Open"), hidden("High"), hidden("Low"), hidden("Close"), { label: "Contracts", scale: "contracts", paths: () => null, points: { show: false } }],
      hooks: { draw: [drawCandles] },
    };
  }

  function show(candles) {
    if (chart) {
      chart.destroy();
      chart = null;
    }
    place.textContent = candles.length ? "" : "No trade is recorded in this time.";
    if (candles.length) {
      // For drawing alone: cents as numbers are exact enough to the pixel.
      const of = (name) => candles.map((candle) => candle[name] / CENT_E6);
      const data = [candles.map((candle) => Date.parse(candle.start) / 1000), of("open_e6"), of("high_e6"), of("low_e6"), of("close_e6"), candles.map((candle) => candle.volume_e2 / 100)];
      chart = new uPlot(options(), data, place);
    }
  }

  async function refresh() {
    const answer = await fetch(`${place.dataset.source}?interval=${interval}`, { headers: { Accept: "application/json" } }).catch(() => null);
    const body = answer && (await answer.json().catch(() => null));
    if (answer && answer.ok && body) {
      delete place.dataset.trouble;
      show(body.candles);
    } else {
      // A chart that is drawn already stays below the reason.
      place.dataset.trouble = (body && body.detail) || "The service does not answer: what you see is old.";
    }
  }

  for (const button of document.querySelectorAll("[data-interval]")) {
    button.addEventListener("click", () => {
      interval = button.dataset.interval;
      for (const other of document.querySelectorAll("[data-interval]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      refresh();
    });
  }
  addEventListener("resize", () => chart && chart.setSize({ width: place.clientWidth, height: 260 }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  setInterval(refresh, REFRESH_MS);
  refresh();
})();
