// Lines over time, by uPlot (web/vendor/uplot), in the colours of the page. What a chart shows is also said in words.

import { fill, h, uniqueId } from "./dom.js";
import { CHANNELS, PRIORITIES } from "./form.js";

const HEIGHT = 180;
/** Between the ticks of an axis of days, in seconds. */
const DAYS = [1, 2, 7, 14, 30, 60, 90].map((days) => days * 86_400);

/** The number of a line's colour: a channel has the same in every chart, and so has a priority. */
function colourOf(name, index) {
  const place = Math.max(CHANNELS.indexOf(name), PRIORITIES.indexOf(name));
  return ((place < 0 ? index : place) % 7) + 1;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A chart with a title, its lines' names with their latest values, and a sentence for who cannot see it. `least`: what it is high at
 * least, so that little does not look like much. `times`: "days" of UTC, or "moments". */
export class Chart {
  constructor({ title, unit, format, signal, least = 1, times = "moments" }) {
    Object.assign(this, { title, unit, format, least, times });
    const id = uniqueId("chart");
    this.legend = h("ul", { class: "legend" });
    this.ground = h("div", { class: "chart-ground", role: "img", "aria-label": `${title}: nothing yet.` });
    this.element = h(
      "figure",
      { "class": "card chart", "aria-labelledby": id },
      h("figcaption", { id }, h("h2", {}, title), h("span", { class: "soft small" }, unit)),
      this.ground,
      this.legend,
    );
    const watch = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
    watch.observe(this.ground);
    const anew = () => {
      this.names = null;
      if (this.shown) this.show(...this.shown);
    };
    addEventListener("fanfare:theme", anew, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew, { signal });
    signal.addEventListener("abort", () => {
      watch.disconnect();
      this.plot?.destroy();
    });
  }

  width() {
    return Math.max(120, Math.floor(this.ground.clientWidth));
  }

  /** `times`: seconds; `lines`: [name, values]. */
  show(times, lines) {
    this.shown = [times, lines];
    const names = lines.map(([name]) => name).join("\n");
    const data = [times, ...lines.map(([, values]) => values)];
    if (this.plot && this.names === names) this.plot.setData(data);
    else {
      this.plot?.destroy();
      this.names = names;
      this.plot = new globalThis.uPlot(this.options(lines), data, this.ground);
    }
    const latest = lines.map(([name, values], index) => [name, values.at(-1), index]);
    fill(
      this.legend,
      latest.map(([name, value, index]) =>
        h(
          "li",
          {},
          h("span", { "class": `swatch swatch-${colourOf(name, index)}`, "aria-hidden": "true" }),
          name,
          " ",
          h("b", {}, this.said(value)),
        ),
      ),
    );
    this.ground.setAttribute(
      "aria-label",
      `${this.title}, ${this.unit}. Now: ${latest.map(([name, value]) => `${name} ${this.said(value)}`).join(", ") || "nothing yet"}.`,
    );
  }

  said(value) {
    return value === null || value === undefined ? "—" : this.format(value);
  }

  options(lines) {
    const [ink, grid] = [colour("--ink-soft"), colour("--line")];
    const axis = {
      stroke: ink,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1 },
      font: "11px system-ui",
    };
    const clock = (_, ticks) =>
      ticks.map((tick) =>
        this.times === "days"
          ? new Date(tick * 1000).toLocaleDateString(undefined, { month: "short", day: "numeric", timeZone: "UTC" })
          : new Date(tick * 1000).toLocaleTimeString(undefined, {
              hour: "2-digit",
              minute: "2-digit",
              second: "2-digit",
            }),
      );
    return {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      padding: [8, 8, 0, 0],
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, this.least) * 1.1] } },
      axes: [
        { ...axis, space: 80, values: clock, ...(this.times === "days" && { incrs: DAYS }) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => this.format(tick)) },
      ],
      series: [
        {},
        ...lines.map(([name], index) => ({
          label: name,
          stroke: colour(`--chart-${colourOf(name, index)}`),
          width: 1.75,
          points: { show: false },
          spanGaps: true,
        })),
      ],
    };
  }
}
