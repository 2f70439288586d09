"use strict";
// Curves with uPlot: a plot for each logged number or score, and settings against the score of a search.

const reportPlots = []; // of all curves, for the controls
window.reportPlots = reportPlots;
const MAX_SHOWN = 8, GRID_POINTS = 500;
const HEIGHT = 230;

const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = value => value === null ? "" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : `${Number(value.toPrecision(3))}`;
const tick = value => value === null ? "" : value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3) ? value.toExponential().replace("+", "") : value.toLocaleString("en", {maximumSignificantDigits: 4});

function interpolate(xs, ys, x) { // null outside, and where a neighbor is missing
  if (!xs.length || x < xs[0] || x > xs.at(-1)) return null;
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    xs[middle] <= x ? low = middle : high = middle;
  }
  if (x === xs[low]) return ys[low];
  if (x === xs[high]) return ys[high];
  if (ys[low] === null || ys[high] === null) return null;
  return ys[low] + (ys[high] - ys[low]) * (x - xs[low]) / (xs[high] - xs[low]);
}

// The points of a run in a panel: [x, y], with x along the chosen axis
function runPoints(run, name, axis) {
  if (name in run.logged) return [run.rows[axis], run.logged[name]];
  if (!(name in run.scored)) return [[], []];
  const [steps, values] = run.scored[name];
  if (axis === "step") return [steps, values];
  const own = [0, ...run.rows.step], along = [0, ...run.rows[axis]];
  return [steps.map(step => interpolate(own, along, Math.min(step, own.at(-1)))), values];
}

function smooth(values, weight) { // exponential moving average, corrected for its start, as in TensorBoard
  if (!weight) return values;
  let sum = 0, count = 0;
  return values.map(value => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    count += 1;
    return sum / (1 - weight ** count);
  });
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// Lines of one panel: {group, run, xs, ys, low, high, isDiverged}; a line for each seed, or one for each group
function panelLines(data, name, choice) {
  const lines = [];
  data.groups.forEach((group, number) => {
    const own = group.runs.map(index => data.runs[index]).map(run => {
      const [xs, ys] = runPoints(run, name, choice.axis);
      const known = xs.flatMap((x, index) => x === null ? [] : [index]);
      return {group: number, run, xs: known.map(i => xs[i]), ys: smooth(known.map(i => ys[i]), choice.smoothing), isDiverged: run.state === "diverged", style: data.groups.length === 1 ? group.runs.indexOf(data.runs.indexOf(run)) : group.rank};
    }).filter(line => line.ys.some(value => value !== null));
    const together = own.filter(line => line.run.state === "finished");
    if (choice.eachSeed || together.length < 2) return void lines.push(...own);
    lines.push(...own.filter(line => !together.includes(line)));
    const start = Math.max(...together.map(line => line.xs[0])), end = Math.min(...together.map(line => line.xs.at(-1)));
    const xs = [...new Set(together.flatMap(line => line.xs))].filter(x => x >= start && x <= end).sort((a, b) => a - b);
    const columns = xs.map(x => together.map(line => interpolate(line.xs, line.ys, x)));
    const complete = columns.map(values => values.includes(null) ? null : values);
    const spread = complete.map(values => values && Math.sqrt(mean(values.map(value => (value - mean(values)) ** 2)) * values.length / (values.length - 1)));
    const ys = complete.map(values => values && mean(values));
    lines.push({group: number, style: group.rank, xs, ys, low: ys.map((y, i) => y === null ? null : y - spread[i]), high: ys.map((y, i) => y === null ? null : y + spread[i])});
  });
  return lines;
}

// One column of x for all lines, as uPlot needs it; a fixed grid where there would be too many
function align(lines) {
  let xs = [...new Set(lines.flatMap(line => line.xs))].sort((a, b) => a - b);
  if (xs.length > 4 * GRID_POINTS) {
    const first = xs[0], last = xs.at(-1);
    xs = Array.from({length: GRID_POINTS + 1}, (_, index) => first + (last - first) * index / GRID_POINTS);
    return [xs, (line, values) => {
      const found = xs.map(x => interpolate(line.xs, values, x));
      if (found.every(value => value === null)) found[Math.round((line.xs[0] - first) / (last - first) * GRID_POINTS)] = values.find(value => value !== null);
      return found;
    }];
  }
  const places = new Map(xs.map((x, index) => [x, index]));
  return [xs, (line, values) => {
    const aligned = Array(xs.length).fill(undefined); // undefined: the line goes on across it; null: a gap
    line.xs.forEach((x, index) => aligned[places.get(x)] = values[index]);
    return aligned;
  }];
}

function logSplits(plot, axis, low, high) { // 1, 10, 100; also 2 and 5 where there are few
  const splits = [], factors = high / low > 1e3 ? [1] : high / low > 3 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    splits.push(...factors.map(factor => Number(`${factor}e${power}`)).filter(value => value >= low && value <= high));
  }
  const every = Math.ceil(splits.length / 8);
  return splits.filter((_, index) => index % every === 0);
}

function logRange(low, high) { // with room around
  const room = Math.max(1.1, (high / low) ** .05);
  return [low / room, high * room];
}

function axes(logX, logY) {
  const log = {splits: logSplits, filter: (_, splits) => splits};
  const common = {stroke: () => color("--soft"), grid: {stroke: () => color("--line"), width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif", values: (_, values) => values.map(tick)};
  return [
    {...common, ...(logX ? log : {}), space: 60},
    {...common, ...(logY ? log : {}), size: (_, values) => Math.max(36, 12 + 6.5 * Math.max(0, ...(values ?? []).map(value => value.length)))},
  ];
}

function tooltip(names, xName) { // the nearest line, and its value
  return {hooks: {
    init: plot => {
      plot.tip = document.createElement("div");
      plot.tip.className = "tip";
      plot.over.append(plot.tip);
    },
    setCursor: plot => {
      const {left, top, idx} = plot.cursor;
      if (left === undefined || left < 0 || idx === null) return void (plot.tip.textContent = "");
      let best = null;
      for (let series = 1; series < plot.series.length; series++) {
        if (!plot.series[series].show || !names[series]) continue;
        const at = plot.data[series][idx] === undefined ? nearestKnown(plot.data[series], idx) : idx, value = plot.data[series][at];
        if (value === null || value === undefined) continue;
        const distance = Math.hypot(plot.valToPos(value, "y") - top, plot.valToPos(plot.data[0][at], "x") - left);
        if (!best || distance < best.distance) best = {distance, series, at, value};
      }
      if (!best) return void (plot.tip.textContent = "");
      plot.tip.textContent = `${names[best.series]}: ${short(best.value)} (${xName} ${short(plot.data[0][best.at])})`;
      plot.tip.style.left = left > plot.over.clientWidth / 2 ? "" : `${left + 12}px`;
      plot.tip.style.right = left > plot.over.clientWidth / 2 ? `${plot.over.clientWidth - left + 12}px` : "";
      plot.tip.style.top = `${Math.min(top + 12, plot.over.clientHeight - 28)}px`;
    },
  }};
}

function nearestKnown(values, index) {
  for (let distance = 1; distance < values.length; distance++) {
    if (values[index - distance] !== undefined && index >= distance) return index - distance;
    if (values[index + distance] !== undefined) return index + distance;
  }
  return index;
}

function drawMarks(lines, baseline) { // a cross where a run diverged, a dashed line for the real data
  return {hooks: {draw: plot => {
    const {ctx, bbox} = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left - 6, bbox.top - 6, bbox.width + 12, bbox.height + 12);
    ctx.clip();
    ctx.lineWidth = 2 * devicePixelRatio;
    lines.forEach(line => {
      if (!line.isDiverged || !plot.series[line.series]?.show) return;
      const last = line.ys.findLastIndex(value => value !== null);
      const arm = 5 * devicePixelRatio, x = plot.valToPos(line.xs[last], "x", true);
      const y = Math.min(Math.max(plot.valToPos(line.ys[last], "y", true), bbox.top + arm), bbox.top + bbox.height - arm);
      ctx.strokeStyle = color("--bad");
      ctx.beginPath();
      for (const sign of [1, -1]) {
        ctx.moveTo(x - arm, y - sign * arm);
        ctx.lineTo(x + arm, y + sign * arm);
      }
      ctx.stroke();
    });
    if (baseline !== null && baseline > plot.scales.y.min && baseline < plot.scales.y.max) {
      const y = plot.valToPos(baseline, "y", true);
      ctx.strokeStyle = color("--soft");
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  }}};
}

function drawPanel(figure, data, panel, choice) {
  const lines = panelLines(data, panel.name, choice), [xs, alignTo] = align(lines);
  const series = [{}], columns = [xs], bands = [], names = [null];
  const known = lines.filter(line => !line.isDiverged).flatMap(line => line.ys).filter(value => value !== null);
  const isScore = panel.name === data.metric?.split(" ")[0] && data.better === "lower"; // whose end is flat on a linear axis
  const isLog = !panel.limits && (choice.log || (isScore && Math.min(...known) > 0 && Math.max(...known) > 10 * Math.min(...known)));
  const usable = values => isLog ? values.map(value => value > 0 ? value : value === undefined ? undefined : null) : values;
  for (const line of lines) {
    const {color: stroke, dash} = styleOf(line.style), show = choice.shown.has(line.group);
    const group = data.groups[line.group], name = data.groups.length === 1 && !line.run ? panel.title : group.name;
    const isPoint = line.ys.filter(value => value !== null).length < 2;
    line.series = series.length;
    const width = line.run && group.runs.length > 1 && data.groups.length > 1 ? 1 : 1.6;
    series.push({label: name, stroke, dash, width, show, spanGaps: false, auto: isLog || !line.isDiverged || lines.every(other => other.isDiverged), points: {show: isPoint, size: 7, fill: stroke}, group: line.group});
    columns.push(usable(alignTo(line, line.ys)));
    names.push(line.run && group.runs.length > 1 ? `${data.groups.length > 1 ? `${name} ` : ""}seed ${line.run.seed}` : name);
    if (!line.low) continue;
    for (const edge of [line.high, line.low]) {
      series.push({label: "", stroke: "transparent", width: 0, show, points: {show: false}, group: line.group});
      columns.push(usable(alignTo(line, edge)));
      names.push(null);
    }
    bands.push({series: [series.length - 2, series.length - 1], fill: `${stroke}2b`});
  }
  const limits = panel.limits ?? (panel.baseline === null || isLog ? null : [panel.baseline, panel.baseline]);
  const options = {
    width: Math.max(200, figure.clientWidth), height: HEIGHT, series, bands, legend: {show: false}, axes: axes(false, isLog),
    focus: {alpha: .15}, plugins: [tooltip(names, choice.axis), drawMarks(lines, panel.baseline)],
    cursor: {drag: {x: true, y: false}, points: {show: false}, focus: {prox: -1}, bind: {dblclick: () => () => choice.reset()}},
    scales: {
      x: {time: false, range: (_, low, high) => low === high ? [low - 1, high + 1] : [low, high]},
      y: {distr: isLog ? 3 : 1, range: (_, low, high) => {
        if (low === null) return isLog ? [.1, 10] : [0, 1];
        if (isLog) return logRange(low, high);
        const [bottom, top] = limits ? [Math.min(low, limits[0]), Math.max(high, limits[1])] : [low, high];
        const room = (top - bottom || Math.abs(top) || 1) * .05;
        return [bottom - room, top + room];
      }},
    },
    hooks: {setScale: [(plot, scale) => {
      if (scale !== "x" || choice.isZooming) return;
      choice.isZooming = true; // all plots show the same part
      const {min, max} = plot.scales.x;
      for (const other of reportPlots) if (other !== plot && other.isReady) other.setScale("x", {min, max});
      choice.isZooming = false;
    }]},
  };
  const plot = new uPlot(options, columns, figure);
  plot.isReady = true;
  figure.querySelector("canvas").setAttribute("aria-hidden", "true");
  return plot;
}

function setUpCurves(data) {
  const axis = document.getElementById("x-axis"), log = document.getElementById("log-y"), smoothing = document.getElementById("smoothing");
  const eachSeed = document.getElementById("each-seed"), more = document.getElementById("more-panels");
  const entries = [...document.querySelectorAll("#legend .entry")];
  const scored = data.groups.map((group, number) => number).filter(number => data.groups[number].score !== null);
  const sign = data.better === "higher" ? -1 : 1;
  const best = (scored.length ? scored.sort((a, b) => sign * (data.groups[a].score - data.groups[b].score)) : data.groups.map((_, number) => number)).slice(0, MAX_SHOWN);
  const all = data.groups.map((_, number) => number);
  const choice = {shown: new Set(data.groups.length > 2 * MAX_SHOWN ? best : all), axis: "step", log: false, smoothing: 0, eachSeed: Boolean(eachSeed?.checked), isZooming: false};

  const figures = data.panels.map(panel => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    figure.className = "plot";
    figure.setAttribute("role", "img");
    caption.textContent = panel.title;
    figure.append(caption);
    (panel.is_main ? document.getElementById("panels") : more.querySelector(".panels")).append(figure);
    return figure;
  });
  if (data.panels.every(panel => panel.is_main)) more.remove();

  function describe(panel) {
    const ends = data.groups.filter((_, number) => choice.shown.has(number)).slice(0, MAX_SHOWN).flatMap(group => {
      const ys = group.runs.map(index => runPoints(data.runs[index], panel.name, "step")[1].findLast(value => value !== null)).filter(value => value !== undefined);
      return ys.length ? [`${group.name} ${short(mean(ys))}`] : [];
    });
    return `${panel.title} over ${choice.axis}s. Last values: ${ends.join("; ") || "none"}.`;
  }

  function draw() {
    for (const plot of reportPlots.splice(0)) plot.destroy();
    choice.isZooming = true;
    figures.forEach((figure, number) => {
      if (figure.closest("details:not([open])")) return;
      reportPlots.push(Object.assign(drawPanel(figure, data, data.panels[number], choice), {panel: data.panels[number].name}));
      figure.setAttribute("aria-label", describe(data.panels[number]));
    });
    const ends = reportPlots.flatMap(plot => [plot.data[0][0], plot.data[0].at(-1)]).filter(x => x !== undefined);
    const whole = {min: Math.min(...ends), max: Math.max(...ends)};
    if (whole.min < whole.max) for (const plot of reportPlots) plot.setScale("x", whole);
    queueMicrotask(() => choice.isZooming = false); // after uPlot's own
  }
  choice.reset = draw;

  function showChosen() {
    for (const entry of entries) entry.ariaPressed = choice.shown.has(Number(entry.dataset.group));
    for (const plot of reportPlots) {
      plot.batch(() => plot.series.forEach((series, index) => {
        if (index && series.show !== choice.shown.has(series.group)) plot.setSeries(index, {show: choice.shown.has(series.group)});
      }));
    }
    figures.forEach((figure, number) => figure.setAttribute("aria-label", describe(data.panels[number])));
  }

  function read() {
    Object.assign(choice, {axis: axis.value, log: log.checked, smoothing: Number(smoothing.value), eachSeed: Boolean(eachSeed?.checked)});
    draw();
  }

  for (const control of [axis, log, eachSeed]) control?.addEventListener("change", read);
  smoothing.addEventListener("input", read);
  for (const entry of entries) {
    entry.addEventListener("click", () => {
      const group = Number(entry.dataset.group);
      choice.shown.has(group) ? choice.shown.delete(group) : choice.shown.add(group);
      showChosen();
    });
  }
  for (const button of document.querySelectorAll("#legend [data-show]")) {
    button.addEventListener("click", () => {
      choice.shown = new Set({best, all, none: []}[button.dataset.show]);
      showChosen();
    });
  }
  document.getElementById("reset").addEventListener("click", draw);
  more.addEventListener("toggle", draw);
  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth !== width) draw();
    width = document.body.clientWidth;
  }).observe(document.body);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", draw);
  showChosen();
}

function highlightCurves(group) {
  for (const plot of reportPlots) {
    const index = group === null ? null : plot.series.findIndex((series, number) => number && series.show && series.group === Number(group));
    plot.setSeries(index === -1 ? null : index, {focus: index !== null && index !== -1});
  }
}

// Each setting of a search against the score; words at equal distances
function setUpScatter(data) {
  const container = document.getElementById("scatter");
  const scores = data.trials.map(trial => trial.score);
  const logScore = Math.min(...scores) > 0 && Math.max(...scores) > 20 * Math.min(...scores);
  const figures = data.search.map(({name, values}) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    figure.className = "plot";
    figure.setAttribute("role", "img");
    figure.setAttribute("aria-label", `${data.metric} against ${name}; the best trial has ${values[0]}.`);
    caption.textContent = name;
    figure.append(caption);
    container.append(figure);
    return figure;
  });

  function drawScatter() {
    figures.forEach((figure, number) => {
      figure.querySelector(".uplot")?.remove();
      const {values} = data.search[number], isNumeric = values.every(value => value.trim() !== "" && isFinite(value));
      const words = isNumeric ? null : [...new Set(values)].sort();
      const xs = isNumeric ? values.map(Number) : values.map(value => words.indexOf(value));
      const logX = isNumeric && Math.min(...xs) > 0 && Math.max(...xs) > 20 * Math.min(...xs);
      const order = xs.map((_, index) => index).sort((a, b) => xs[a] - xs[b]);
      const rest = order.map(index => index ? scores[index] : null), best = order.map(index => index ? null : scores[index]);
      const dots = (stroke, size) => ({stroke, width: 0, paths: () => null, points: {show: true, size, fill: stroke, stroke}});
      const frame = axes(logX, logScore);
      if (words) {
        frame[0].splits = () => words.map((_, index) => index);
        frame[0].values = (_, splits) => splits.map(index => words[index].slice(0, 14));
      }
      const pad = (low, high) => [low - (high - low || 1) * .06, high + (high - low || 1) * .06];
      const labels = order.map(index => data.groups[data.trials[index].group].name);
      new uPlot({
        width: Math.max(200, figure.clientWidth), height: HEIGHT, legend: {show: false}, axes: frame,
        series: [{}, dots("#6b7785", 6), dots("#d9730d", 11)],
        cursor: {drag: {x: false, y: false}, points: {show: false}},
        scales: {
          x: {time: false, distr: logX ? 3 : 1, range: (_, low, high) => logX ? logRange(low, high) : words ? [-.5, words.length - .5] : pad(low, high)},
          y: {distr: logScore ? 3 : 1, range: (_, low, high) => logScore ? logRange(low, high) : pad(low, high)},
        },
        plugins: [{hooks: {
          init: plot => plot.over.append(plot.tip = Object.assign(document.createElement("div"), {className: "tip"})),
          setCursor: plot => {
            const {left, top} = plot.cursor;
            const distances = order.map((index, place) => Math.hypot(plot.valToPos(plot.data[0][place], "x") - left, plot.valToPos(scores[index], "y") - top));
            const place = distances.indexOf(Math.min(...distances));
            plot.tip.textContent = left >= 0 && distances[place] < 25 ? `${short(scores[order[place]])}: ${labels[place]}` : "";
            plot.tip.style.top = "4px";
          },
        }}],
      }, [order.map(index => xs[index]), rest, best], figure);
      figure.querySelector("canvas").setAttribute("aria-hidden", "true");
    });
  }

  let width = 0;
  new ResizeObserver(() => {
    if (container.clientWidth !== width) drawScatter();
    width = container.clientWidth;
  }).observe(container);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", drawScatter);
}
