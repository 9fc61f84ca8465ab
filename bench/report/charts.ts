/**
 * Pictures: an SVG per group of workloads, drawn by ECharts on the server side (no browser, no native code).
 *
 *   bars    operations per second of every store, on a logarithmic axis, as speeds differ by factors
 *   lines   throughput over time, for what was measured as a series
 *
 * Invariants: the same data gives the same file, so that a committed picture changes only when a result did.
 */
import { loadPackage } from '../packages.ts';
import type { StoreSummary, WorkloadSummary } from './statistics.ts';
import { rate } from './tables.ts';

interface Chart {
  setOption(option: object): void;
  renderToSVGString(): string;
  dispose(): void;
}

interface Echarts {
  init(dom: null, theme: null, options: object): Chart;
}

const WIDTH = 900;
const BAR_HEIGHT = 13;
const MARGIN_HEIGHT = 110;
/** Readable on white and by people who see colours differently (Okabe and Ito, 2008). */
export const COLORS: Readonly<Record<string, string>> = {
  stratakv: '#D55E00',
  'classic-level': '#0072B2',
  lmdb: '#009E73',
  'lmdb-nosync': '#88CCB8',
  rocksdb: '#E69F00',
  db_bench: '#7F7F7F',
};

/** What a mouse would do; some viewers and linters stumble over it. */
const HOVER_STYLES = /<style\s*><!\[CDATA\[[\s\S]*?\]\]>\s*<\/style>\s*/g;

/** File name (without .svg) -> picture. Throws when the plotting library is not installed. */
export function drawCharts(summaries: readonly WorkloadSummary[]): Map<string, string> {
  const echarts = loadPackage<Echarts>('echarts');
  const pictures = new Map<string, string>();
  for (const group of new Set(summaries.map((each) => each.group))) {
    const own = summaries.filter((each) => each.group === group);
    const stores = storesOf(own);
    const height = MARGIN_HEIGHT + own.length * (stores.length + 1) * BAR_HEIGHT;
    pictures.set(group, render(echarts, height, bars(group, own, stores)));
  }
  for (const summary of summaries) {
    const withSeries = summary.stores.filter(({ series }) => series.length > 2);
    if (withSeries.length > 0)
      pictures.set(
        `${summary.workload}-over-time`,
        render(echarts, 380, lines(summary.workload, withSeries)),
      );
  }
  return pictures;
}

function storesOf(summaries: readonly WorkloadSummary[]): string[] {
  return Object.keys(COLORS).filter((name) =>
    summaries.some(({ stores }) => stores.some(({ store, rounds }) => store === name && rounds > 0)),
  );
}

function render(echarts: Echarts, height: number, option: object): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption({ animation: false, backgroundColor: '#ffffff', ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return withStableNames(svg.replace(HOVER_STYLES, ''));
}

/** ECharts numbers its class names and clip paths per process. */
function withStableNames(svg: string): string {
  const names = new Map<string, string>();
  return svg.replace(/\bzr\d+-(?:c\d+|cls-\d+|[a-z]+-?\d+)/g, (name) => {
    if (!names.has(name)) names.set(name, `p${names.size}`);
    return names.get(name)!;
  });
}

/** Values on a logarithmic axis: a group of bars per category, a bar per name, with its value written beside it. */
export interface BarChart {
  readonly title: string;
  readonly categories: readonly string[];
  readonly bars: readonly {
    readonly name: string;
    readonly color: string;
    /** One per category; null: none. */
    readonly values: readonly (number | null)[];
  }[];
  readonly write: (value: number) => string;
}

/** Throws when the plotting library is not installed. */
export function drawBars(chart: BarChart): string {
  const { categories, bars: all } = chart;
  const height = MARGIN_HEIGHT + categories.length * (all.length + 1) * BAR_HEIGHT;
  return render(loadPackage<Echarts>('echarts'), height, barOption(chart));
}

function bars(group: string, summaries: readonly WorkloadSummary[], stores: readonly string[]): object {
  return barOption({
    title: `${group}: operations per second`,
    categories: summaries.map(({ workload }) => workload),
    bars: stores.map((name) => ({
      name,
      color: COLORS[name]!,
      values: summaries.map(({ stores: all }) => {
        const found = all.find(({ store, rounds }) => store === name && rounds > 0);
        return found === undefined ? null : found.opsPerSecond;
      }),
    })),
    write: rate,
  });
}

function barOption({ title, categories, bars: all, write }: BarChart): object {
  return {
    title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
    legend: { top: 28, data: all.map(({ name }) => name) },
    grid: { left: 170, right: 70, top: 60, bottom: 30 },
    xAxis: { type: 'log', logBase: 10, axisLabel: { formatter: write } },
    yAxis: { type: 'category', inverse: true, data: categories },
    series: all.map(({ name, color, values }) => ({
      name,
      type: 'bar',
      itemStyle: { color },
      label: {
        show: true,
        position: 'right',
        fontSize: 10,
        formatter: ({ value }: { value: number | null }) => (value === null ? '' : write(value)),
      },
      data: values,
    })),
  };
}

function lines(workload: string, stores: readonly StoreSummary[]): object {
  return {
    title: {
      text: `${workload}: operations per second over time`,
      left: 'center',
      textStyle: { fontSize: 15 },
    },
    legend: { top: 28, data: stores.map(({ store }) => store) },
    grid: { left: 80, right: 30, top: 60, bottom: 45 },
    xAxis: { type: 'value', name: 'seconds', nameLocation: 'middle', nameGap: 25 },
    yAxis: { type: 'value', axisLabel: { formatter: rate } },
    series: stores.map(({ store, series }) => ({
      name: store,
      type: 'line',
      showSymbol: false,
      itemStyle: { color: COLORS[store] },
      data: rates(series),
    })),
  };
}

function rates(series: StoreSummary['series']): [number, number][] {
  return series.slice(1).flatMap(([seconds, operations], i): [number, number][] => {
    const [since, before] = series[i]!;
    return seconds > since ? [[seconds, (operations - before) / (seconds - since)]] : [];
  });
}
