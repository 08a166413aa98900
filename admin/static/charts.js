// Charts of a market, drawn with uPlot: candles of its trades, and the spread and depth of its book. What nobody
// received is shaded, and so is what is not known; the time of the slider is a line. A chart is drawn once somebody sees
// it, and uPlot is loaded for the first one: on a phone the book is above them.
"use strict";

const marketCharts = (() => {
  const CENT_E6 = 10000;
  const SIZE_E2 = 100;
  const REFRESH_MS = 15000;
  const SECONDS = { "1m": 60, "1h": 3600, "1d": 86400 };
  const LEAST_SHOWN = 20;
  const NARROWEST_HOLE = 2;
  const OLD = "The service does not answer: what you see is old.";
  const shown = []; // every chart that is drawn
  let moment = null; // the slider's, in seconds; null: the latest

  // Asked for once: each question makes the browser lay the page out, in the midst of drawing.
  const colours = new Map();

  function colour(name) {
    if (!colours.has(name)) {
      colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    }
    return colours.get(name);
  }

  const secondsOf = (text) => Date.parse(text) / 1000;
  const iso = (seconds) => new Date(seconds * 1000).toISOString();

  function inWords(seconds, step) {
    const text = iso(seconds);
    return step < 60 && seconds % 60 ? text.slice(11, 19) : step < 3600 ? text.slice(11, 16) : step < 86400 ? `${text.slice(5, 10)} ${text.slice(11, 13)}h` : text.slice(0, 10);
  }

  // Behind everything else: holes, and the time of which nothing is known yet.
  function shade(u, known) {
    const { left, top, width, height } = u.bbox;
    const fill = (from, to, name) => {
      const [start, end] = [from, to].map((at) => Math.min(left + width, Math.max(left, u.valToPos(at, "x", true))));
      if (end > left && start < left + width && to > from) {
        u.ctx.fillStyle = colour(name);
        u.ctx.fillRect(start, top, Math.max(NARROWEST_HOLE * devicePixelRatio, end - start), height);
      }
    };
    u.ctx.save();
    fill(known.until, Math.max(known.until, u.scales.x.max), "--none-back");
    known.unrecorded.forEach(([from, to]) => fill(from, to, "--none-back"));
    known.holes.forEach(([from, to]) => fill(from, to, "--bad-line"));
    u.ctx.restore();
  }

  function markMoment(u) {
    if (moment !== null && moment >= u.scales.x.min && moment <= u.scales.x.max) {
      u.ctx.fillStyle = colour("--accent");
      u.ctx.fillRect(u.valToPos(moment, "x", true) - devicePixelRatio / 2, u.bbox.top, 1.5 * devicePixelRatio, u.bbox.height);
    }
  }

  function lineUp(place, data, height, scales, series, hooks, step) {
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const vertical = Object.keys(scales).filter((name) => name !== "x")[0];
    const chart = new uPlot({
      width: place.clientWidth,
      height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales,
      axes: [
        { ...axis, space: 80, values: (_, ticks) => ticks.map((tick) => inWords(tick, step)) },
        { ...axis, scale: vertical, size: 60, values: (u, ticks) => ticks.map((tick) => place.format(tick)) },
      ],
      cursor: { drag: { x: false, y: false } },
      series: [{ label: "Time", value: (_, seconds) => (seconds == null ? "–" : inWords(seconds, step)) }, ...series],
      hooks: { ...hooks, drawClear: [(u) => shade(u, place.known)], draw: [...(hooks.draw || []), markMoment] },
    }, data, place);
    chart.over.addEventListener("click", () => {
      if (chart.cursor.idx != null) {
        document.dispatchEvent(new CustomEvent("moment", { detail: chart.posToVal(chart.cursor.left, "x") }));
      }
    });
    return chart;
  }

  function draw(place, make, isEmpty, nothing) {
    if (place.chart) {
      shown.splice(shown.indexOf(place.chart), 1);
      place.chart.destroy();
      place.chart = null;
    }
    place.textContent = isEmpty ? nothing : "";
    if (!isEmpty) {
      place.chart = make();
      shown.push(place.chart);
    }
  }

  let library = null;

  function loadLibrary() {
    library ??= new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: candles.dataset.library, onload: resolve, onerror: reject });
      document.head.append(script);
    }).catch(() => { library = null; });
    return library;
  }

  // Calls refresh once one of the places is seen; the function that is returned says whether it was.
  function whenSeen(places, refresh) {
    let isSeen = false;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        isSeen = true;
        observer.disconnect();
        refresh();
      }
    });
    places.forEach((place) => observer.observe(place));
    return () => isSeen;
  }

  async function ask(place, query) {
    const loading = loadLibrary();
    const answer = await fetch(`${place.dataset.source}?${new URLSearchParams(query)}`, { headers: { Accept: "application/json" } }).catch(() => null);
    const body = answer && (await answer.json().catch(() => null));
    await loading;
    if (answer && answer.ok && body && library) {
      delete place.dataset.trouble;
      return body;
    }
    // A chart that is drawn already stays below the reason.
    place.dataset.trouble = (body && body.detail) || OLD;
    return null;
  }

  function know(body, places, since) {
    const unrecorded = body.unrecorded.map((part) => part.map(secondsOf));
    const recorded = (at) => unrecorded.reduce((start, [from, to]) => (from <= start && start < to ? to : start), at);
    const holes = body.holes.map((hole) => hole.map(secondsOf)).map(([from, to]) => [recorded(from), to]).filter(([from, to]) => to > Math.max(from, since));
    const until = body.known_until ? secondsOf(body.known_until) : -Infinity;
    places.forEach((place) => { place.known = { holes, until, unrecorded }; });
    const note = places[0].parentElement.querySelector(".holes-in");
    const longest = Math.max(...holes.map(([from, to]) => to - from));
    note.hidden = false;
    const length = `${longest < 10 ? longest.toFixed(1) : Math.ceil(longest)} s`;
    const what = holes.length === 1 ? `a hole of ${length}` : `${holes.length} holes, the longest of ${length}`;
    const before = unrecorded.some(([, to]) => to > since) ? " Grey: before the record began." : "";
    note.textContent = (holes.length ? `Shaded: ${what}, in which nobody received everything.` : "No hole in this time.") + before;
  }

  // Candles.

  const candles = document.getElementById("candles");
  let interval = "1m";

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
      const [open, high, low, close] = [opens[i], highs[i], lows[i], closes[i]].map((v) => u.valToPos(v, "cents", true));
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

  const formats = new Map(); // made when they are needed: the first one takes a phone tens of milliseconds

  function inNumbers(value, options) {
    const key = JSON.stringify(options);
    if (!formats.has(key)) {
      formats.set(key, new Intl.NumberFormat("en", options));
    }
    return formats.get(key).format(value);
  }

  const cents = (_, value) => (value == null ? "–" : `${value}¢`);
  const contracts = (_, value) => (value == null ? "–" : inNumbers(value, { maximumFractionDigits: 2 }));
  const unseen = (label) => ({ label, scale: "cents", stroke: colour("--faint"), paths: () => null, points: { show: false }, value: cents });
  const aroundCents = (_, low, high) => (low == null ? [0, 100] : [Math.max(0, low - 1), Math.min(100, high + 1)]);

  function makeCandles(found) {
    // For drawing alone: cents as numbers are exact enough to the pixel.
    const of = (name) => found.map((candle) => candle[name] / CENT_E6);
    const data = [found.map((candle) => secondsOf(candle.start)), of("open_e6"), of("high_e6"), of("low_e6"), of("close_e6"), found.map((candle) => candle.volume_e2 / SIZE_E2)];
    const scales = { x: { time: true, range: shownTime }, cents: { range: aroundCents } };
    const series = [unseen("Open"), unseen("High"), unseen("Low"), unseen("Close"), { ...unseen("Contracts"), scale: "contracts", value: contracts }];
    return lineUp(candles, data, 260, scales, series, { draw: [drawCandles] }, SECONDS[interval]);
  }

  async function refreshCandles() {
    if (!areCandlesSeen()) {
      return;
    }
    const body = await ask(candles, { interval });
    if (body) {
      candles.format = (tick) => `${tick}¢`;
      know(body, [candles], body.candles.length ? secondsOf(body.candles[0].start) : 0);
      draw(candles, () => makeCandles(body.candles), !body.candles.length, "No trade is recorded in this time.");
    }
  }

  // Spread and depth.

  const spread = document.getElementById("spread");
  const depth = document.getElementById("depth");
  let period = null;

  function makeSteps(place, steps, [bid, ask], scale, range, value) {
    const data = [steps.map((step) => secondsOf(step.at)), steps.map((step) => step[bid]), steps.map((step) => step[ask])];
    const line = (label, stroke) => ({ label, scale, stroke: colour(stroke), width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: -1 }), value });
    const scales = { x: { time: true, range: () => [data[0][0], data[0].at(-1)] }, [scale]: { range } };
    const step = (data[0].at(-1) - data[0][0]) / (steps.length - 1) < 30 ? 1 : 60;
    return lineUp(place, data, 170, scales, [line(bid === "bid" ? "Bid" : "Contracts bid", "--good"), line(ask === "ask" ? "Asked" : "Contracts asked", "--bad")], {}, step);
  }

  async function refreshDepth() {
    if (period === null || !isDepthSeen()) {
      return;
    }
    const [from, to] = period;
    const body = await ask(spread, { from: iso(from), to: iso(to), steps: 240 });
    if (!body || from !== period[0] || to !== period[1]) {
      return;
    }
    const by = (name, unit) => (step) => (step[name] == null ? null : step[name] / unit);
    const steps = body.steps.map((step) => ({ at: step.at, bid: by("yes_bid_e6", CENT_E6)(step), ask: by("yes_ask_e6", CENT_E6)(step), bids: by("yes_bid_depth_e2", SIZE_E2)(step), asks: by("yes_ask_depth_e2", SIZE_E2)(step) }));
    const isEmpty = steps.every((step) => step.bids === null);
    spread.format = (tick) => `${tick}¢`;
    depth.format = (tick) => inNumbers(tick, { notation: "compact" });
    know(body, [spread, depth], from);
    draw(spread, () => makeSteps(spread, steps, ["bid", "ask"], "cents", aroundCents, cents), isEmpty, "No book is known in this time.");
    draw(depth, () => makeSteps(depth, steps, ["bids", "asks"], "contracts", (_, low, high) => [0, Math.max(1, high * 1.05)], contracts), isEmpty, "");
  }

  for (const button of document.querySelectorAll("[data-interval]")) {
    button.addEventListener("click", () => {
      interval = button.dataset.interval;
      for (const other of document.querySelectorAll("[data-interval]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      refreshCandles();
    });
  }
  addEventListener("resize", () => shown.forEach((chart) => chart.setSize({ width: chart.root.parentElement.clientWidth, height: chart.height })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours.clear(); refreshCandles(); refreshDepth(); });
  setInterval(refreshCandles, REFRESH_MS);
  const areCandlesSeen = whenSeen([candles], refreshCandles);
  const isDepthSeen = whenSeen([spread, depth], refreshDepth);

  return {
    showPeriod(from, to) {
      if (period === null || period[0] !== from || period[1] !== to) {
        period = [from, to];
        refreshDepth();
      }
    },
    showMoment(seconds) {
      moment = seconds;
      shown.forEach((chart) => chart.redraw(false));
    },
  };
})();
