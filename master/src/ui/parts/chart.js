// A line chart over time, drawn by uPlot, which is loaded when the first one is wanted. Beside it stands a
// table of the same, for those who do not see it or want the numbers.

import { html, useEffect, useRef, useState } from "../html.js";
import { colour, onTheme } from "../theme.js";

const HEIGHT = 180;
// More rows than this are no use in a table that stands in for a picture.
const TABLE_ROWS = 400;

let loading = null;

function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../vendor/uplot/uPlot.iife.min.js", import.meta.url).pathname;
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("the chart library did not load"));
    document.head.append(script);
  });
  return loading;
}

/**
 * A line chart.
 * @param data    uPlot's: xs, then ys
 * @param time    xs are seconds since 1970, UTC; else seconds since a beginning
 * @param format  how a y is written
 * @param sayX    how an x is written
 */
export function LineChart({ title, data, time = false, format, sayX, xName }) {
  const box = useRef();
  const plot = useRef(null);
  const [skin, setSkin] = useState(0);
  const empty = data[0].length < 2;
  useEffect(() => onTheme(() => setSkin((n) => n + 1)), []);
  useEffect(() => {
    if (empty) return undefined;
    let gone = false;
    library().then((uPlot) => {
      if (gone) return;
      plot.current = new uPlot(options(uPlot, box.current, { title, time, format, sayX }), latest.current, box.current);
    }, () => {});
    const resize = new ResizeObserver(() => {
      plot.current?.setSize({ width: box.current.clientWidth, height: HEIGHT });
    });
    resize.observe(box.current);
    return () => {
      gone = true;
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [skin, empty]);
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => void plot.current?.setData(data), [data]);
  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <div class="chart-box" ref=${box} aria-hidden="true">${empty && html`<p class="quiet">Nothing to draw yet</p>`}</div>
    ${!empty && html`<${AsTable} ...${{ title, data, format, sayX, xName }} />`}
  </figure>`;
}

function options(uPlot, box, { title, time, format, sayX }) {
  const [line, text, grid] = ["--accent", "--text-2", "--grid"].map(colour);
  const font = `11px ${getComputedStyle(box).fontFamily}`;
  const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { live: true, markers: { show: false } },
    cursor: { y: false, points: { size: 7 } },
    scales: { x: { time }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, values: time ? undefined : (_, xs) => xs.map(sayX), space: 64, size: time ? 42 : 28 },
      { ...axis, values: (_, ys) => ys.map(format), size: 68, space: 36 },
    ],
    series: [
      { label: "at", value: (_, x) => (x === null ? "–" : sayX(x)) },
      {
        label: title,
        stroke: line,
        width: 1.75,
        fill: line.replace("rgb(", "rgba(").replace(")", ", 0.12)"),
        points: { show: false },
        value: (_, y) => (y === null ? "–" : format(y)),
      },
    ],
  };
}

function AsTable({ title, data, format, sayX, xName }) {
  const [open, setOpen] = useState(false);
  const [xs, ys] = data;
  const step = Math.ceil(xs.length / TABLE_ROWS);
  return html`<details class="as-table" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>As a table</summary>
    ${open && html`<div class="scroll" tabindex="0" role="region" aria-label=${`${title} as a table`}><table class="plain">
      <caption class="unseen">${title}</caption>
      <thead><tr><th scope="col">${xName}</th><th scope="col" class="number">${title}</th></tr></thead>
      <tbody>${xs.map((x, i) => i % step === 0 && html`<tr key=${x}>
        <th scope="row">${sayX(x)}</th><td class="number">${format(ys[i])}</td></tr>`)}</tbody>
    </table></div>`}
  </details>`;
}
