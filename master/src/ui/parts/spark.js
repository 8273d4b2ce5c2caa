// A line of the last values, without axes; the number beside it says the last one.

import { html, memo } from "../html.js";

const WIDTH = 120;
const HEIGHT = 32;

/** A sparkline of `values`, oldest first, of at most `room` values. `label` is for those who do not see it. */
export const Spark = memo(({ values, room = 60, label, wide = false }) => {
  const top = Math.max(1, ...values);
  const step = WIDTH / (room - 1);
  const begin = WIDTH - step * (values.length - 1);
  const points = values.map((value, i) => {
    const y = HEIGHT - 1.5 - (value / top) * (HEIGHT - 3);
    return `${(begin + i * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  const line = points.length > 1 ? `M${points.join("L")}` : "";
  const area = line && `${line}L${WIDTH} ${HEIGHT}L${begin.toFixed(1)} ${HEIGHT}Z`;
  return html`<svg class=${wide ? "spark wide" : "spark"} viewBox="0 0 ${WIDTH} ${HEIGHT}"
    preserveAspectRatio="none" role="img" aria-label=${label}>
    <path class="spark-area" d=${area} /><path class="spark-line" d=${line} />
  </svg>`;
});
