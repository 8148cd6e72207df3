/** What istio.stats says of Istio's metrics, compiled: which are made, without which labels, and with which further ones. */
import { CelError } from '../../shared/cel/expression.ts';
import { MAX_LABEL_LENGTH } from '../../shared/metrics/metrics.ts';
import type { StatsConfig } from '../../shared/xds/filters/istio-stats.ts';
import type { TrafficRecord } from '../attributes/record.ts';
import type { WallClock } from '../cel/attributes.ts';
import { compileCel } from '../cel/compile.ts';
import { labelText } from '../cel/values.ts';
import { ConfigError } from '../config-error.ts';
import { detached } from '../http/codec/h1/fields.ts';

/** Names of the metrics without `istio_`. */
export const REQUEST_METRICS = [
  'requests_total',
  'request_duration_milliseconds',
  'request_bytes',
  'response_bytes',
] as const;
export const MESSAGE_METRICS = ['request_messages_total', 'response_messages_total'] as const;
export const TCP_METRICS = [
  'tcp_connections_opened_total',
  'tcp_connections_closed_total',
  'tcp_received_bytes_total',
  'tcp_sent_bytes_total',
] as const;

export type MetricName = (typeof REQUEST_METRICS | typeof MESSAGE_METRICS | typeof TCP_METRICS)[number];

/** A label whose value is an expression. */
interface Tag {
  readonly label: string;
  readonly value: (record: TrafficRecord) => string;
}

interface MetricRule {
  readonly drop: boolean;
  readonly removed: ReadonlySet<string>;
  readonly tags: readonly Tag[];
}

/** Labels that requests of the same peers, codes and flags may differ in. */
export type Tags = Readonly<Record<string, string>>;
export const NO_TAGS: Tags = Object.freeze({});

const AS_IT_IS: MetricRule = { drop: false, removed: new Set(), tags: [] };

/** What Istio gives a tag whose expression fails. */
const UNKNOWN = 'unknown';
/** Labels of one metric at most. */
const MAX_TAGS = 32;

export class MetricRules {
  private readonly rules: ReadonlyMap<string, MetricRule>;

  constructor(rules: ReadonlyMap<string, MetricRule> = new Map()) {
    this.rules = rules;
  }

  drops(metric: MetricName): boolean {
    return this.of(metric).drop;
  }

  /** The names of the labels of a metric, of those that it has as it is. */
  labelsOf(metric: MetricName, names: readonly string[]): readonly string[] {
    const { removed, tags } = this.of(metric);
    if (removed.size === 0 && tags.length === 0) return names;
    const further = tags.map(({ label }) => label).filter((label) => !names.includes(label));
    return [...names.filter((name) => !removed.has(name)), ...further];
  }

  /** Evaluates the further labels of several metrics; undefined: they have none. */
  tagsOf(metrics: readonly MetricName[]): ((record: TrafficRecord) => Tags) | undefined {
    const tags = metrics.flatMap((metric) => (this.drops(metric) ? [] : this.of(metric).tags));
    if (tags.length === 0) return undefined;
    return (record) => {
      const values: Record<string, string> = {};
      for (const { label, value } of tags) values[label] = value(record);
      return values;
    };
  }

  private of(metric: MetricName): MetricRule {
    return this.rules.get(metric) ?? AS_IT_IS;
  }
}

/** @throws ConfigError naming the expression that cannot be used */
export function compileMetricRules({ metrics = [] }: StatsConfig, wallClock: WallClock): MetricRules {
  const rules = new Map<string, MetricRule>();
  for (const [i, { name, dimensions = {}, tagsToRemove = [], drop = false }] of metrics.entries()) {
    const path = `istio.stats: metrics[${i}].dimensions`;
    if (Object.keys(dimensions).length > MAX_TAGS) throw new ConfigError(path, `must be at most ${MAX_TAGS}`);
    const tags = Object.entries(dimensions).map(([tag, expression]) => tagOf(tag, expression, path, wallClock));
    rules.set(name.replace(/^istio_/, ''), { drop, removed: new Set(tagsToRemove.map(labelName)), tags });
  }
  return new MetricRules(rules);
}

function tagOf(tag: string, expression: string, path: string, wallClock: WallClock): Tag {
  try {
    const evaluate = compileCel(expression, wallClock, { strings: true });
    return { label: labelName(tag), value: (record) => labelValue(labelText(evaluate(record)) ?? UNKNOWN) };
  } catch (error) {
    throw error instanceof CelError ? new ConfigError(`${path}["${tag}"]`, error.message) : error;
  }
}

/** Clients choose it: what is longer than a label shows makes no series of its own, and keeps no head in memory. */
function labelValue(text: string): string {
  return detached(text.length > MAX_LABEL_LENGTH ? text.slice(0, MAX_LABEL_LENGTH) : text);
}

/** As Prometheus allows it. */
function labelName(tag: string): string {
  const name = tag.replace(/[^A-Za-z0-9_]/g, '_');
  return /^\d/.test(name) ? `_${name}` : name;
}
