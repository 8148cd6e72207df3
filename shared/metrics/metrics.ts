/**
 * Counters, gauges and histograms in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).
 * A series is found once per label set and kept by its user: an increment is then one addition. Every metric has a
 * bound on its series; beyond it all further label sets share one series with every label `overflow`.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  value: number;
}
export interface Gauge {
  value: number;
}

export interface Histogram {
  observe(value: number): void;
}

/** Istio's buckets for durations in milliseconds and sizes in bytes (Envoy's defaults). */
const DEFAULT_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

const MAX_SERIES = 2000;
/** Characters of a value that a label shows. */
export const MAX_LABEL_LENGTH = 256;

type Kind = 'counter' | 'gauge' | 'histogram';

interface Series {
  /** `a="x",b="y"` */
  readonly text: string;
}
class Value implements Series, Counter, Gauge {
  value = 0;
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
class Buckets implements Series, Histogram {
  readonly text: string;
  readonly bounds: readonly number[];
  /** One per bound, and the last for what exceeds them all; not cumulative. */
  readonly counts: Float64Array;
  sum = 0;
  constructor(text: string, bounds: readonly number[]) {
    this.text = text;
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }
  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
  }
}

/** One metric: its series by label values. */
class Family<S extends Series> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly labelNames: readonly string[];
  readonly series = new Map<string, S>();
  private readonly make: (text: string) => S;
  private readonly limit: number;
  dropped = 0;

  constructor(
    name: string,
    help: string,
    kind: Kind,
    labels: readonly string[],
    make: (text: string) => S,
    limit: number,
  ) {
    this.name = name;
    this.help = help;
    this.kind = kind;
    this.labelNames = labels;
    this.make = make;
    this.limit = limit;
  }

  with(labels: Labels, names: readonly string[] = this.labelNames): S {
    // Cut before the look-up: values that are the same in the exposition are one series.
    const values = names.map((name) => (labels[name] ?? '').slice(0, MAX_LABEL_LENGTH));
    const key = (names === this.labelNames ? values : [...values, '\u0002', ...names]).join('\u0000');
    const known = this.series.get(key);
    if (known) return known;
    if (this.series.size >= this.limit) {
      this.dropped++;
      return this.overflow();
    }
    return this.add(key, names, values);
  }

  clear(): void {
    this.series.clear();
    this.dropped = 0;
  }

  private overflow(): S {
    return (
      this.series.get('\u0001') ??
      this.add(
        '\u0001',
        this.labelNames,
        this.labelNames.map(() => 'overflow'),
      )
    );
  }

  private add(key: string, names: readonly string[], values: readonly string[]): S {
    const made = this.make(names.map((name, i) => `${name}="${escapeLabel(values[i]!)}"`).join(','));
    this.series.set(key, made);
    return made;
  }
}

export interface MetricFamily<S> {
  /**
   * The series of a label set; keep it, do not look it up per request. Labels that are missing are ''.
   * @param names of the labels, where the series has others than its metric
   */
  with(labels: Labels, names?: readonly string[]): S;
  /** Forgets every series: for gauges that are set again at each collection, whose users keep none. */
  clear(): void;
}

export class Metrics {
  private readonly families = new Map<string, Family<Value> | Family<Buckets>>();
  private readonly collectors: (() => void)[] = [];
  private readonly maxSeries: number;

  /** @param maxSeries per metric */
  constructor(maxSeries = MAX_SERIES) {
    this.maxSeries = maxSeries;
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): MetricFamily<Counter> {
    return this.values(name, help, 'counter', labelNames);
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): MetricFamily<Gauge> {
    return this.values(name, help, 'gauge', labelNames);
  }

  histogram(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
    bounds: readonly number[] = DEFAULT_BUCKETS,
  ): MetricFamily<Histogram> {
    const make = (text: string) => new Buckets(text, bounds);
    return this.family(name, 'histogram', () => new Family(name, help, 'histogram', labelNames, make, this.maxSeries));
  }

  /** Runs before each exposition: sets gauges that are read, not counted. */
  onCollect(collect: () => void): void {
    this.collectors.push(collect);
  }

  /** The text exposition, format 0.0.4. */
  expose(): string {
    for (const collect of this.collectors) collect();
    const lines: string[] = [];
    for (const family of this.families.values()) {
      if (family.series.size === 0) continue;
      lines.push(`# HELP ${family.name} ${family.help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}`);
      lines.push(`# TYPE ${family.name} ${family.kind}`);
      for (const series of family.series.values()) {
        if (series instanceof Buckets) exposeBuckets(lines, family.name, series);
        else lines.push(sample(family.name, series.text, (series as Value).value));
      }
    }
    const dropped = [...this.families.values()].filter((family) => family.dropped > 0);
    if (dropped.length > 0) {
      lines.push('# HELP tulle_metric_series_overflow_total Label sets that found their metric full.');
      lines.push('# TYPE tulle_metric_series_overflow_total counter');
      for (const { name, dropped: count } of dropped)
        lines.push(sample('tulle_metric_series_overflow_total', `metric="${name}"`, count));
    }
    return `${lines.join('\n')}\n`;
  }

  private values(name: string, help: string, kind: 'counter' | 'gauge', labels: readonly string[]): Family<Value> {
    return this.family(
      name,
      kind,
      () => new Family(name, help, kind, labels, (text) => new Value(text), this.maxSeries),
    );
  }

  private family<S extends Value | Buckets>(name: string, kind: Kind, make: () => Family<S>): Family<S> {
    const known = this.families.get(name);
    if (known && known.kind !== kind) throw new Error(`metric ${name} is a ${known.kind}, not a ${kind}`);
    const family = (known as Family<S> | undefined) ?? make();
    this.families.set(name, family as never);
    return family;
  }
}

function exposeBuckets(lines: string[], name: string, series: Buckets): void {
  const prefix = series.text === '' ? '' : `${series.text},`;
  let total = 0;
  series.counts.forEach((count, at) => {
    total += count;
    const bound = at < series.bounds.length ? String(series.bounds[at]) : '+Inf';
    lines.push(sample(`${name}_bucket`, `${prefix}le="${bound}"`, total));
  });
  lines.push(sample(`${name}_sum`, series.text, series.sum), sample(`${name}_count`, series.text, total));
}

const sample = (name: string, labels: string, value: number): string =>
  labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`;

function escapeLabel(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}
