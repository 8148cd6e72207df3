/**
 * Envoy's statistics by Envoy's names: `listener.<address>.…`, `http.<stat prefix>.…`, `tcp.<stat prefix>.…`. A stat is
 * found once and kept by its user, so that an increment is one addition.
 */

export interface Stat {
  value: number;
}

/** The part of a stat's name that Prometheus carries as a label, by scope. */
const LABELS: Readonly<Record<string, string>> = {
  listener: 'envoy_listener_address',
  http: 'envoy_http_conn_manager_prefix',
  tcp: 'envoy_tcp_prefix',
  connection_limit: 'envoy_connection_limit_prefix',
  overload: 'envoy_overload_name',
  // As Istio names it, and the cluster metrics here.
  cluster: 'cluster_name',
};

/** Names beyond it share one stat each: configuration that changes for years must not grow memory without limit. */
const MAX_STATS = 20_000;

interface Held extends Stat {
  readonly scope: string;
  readonly tag: string;
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
}

export interface StatScope {
  counter(name: string): Stat;
  gauge(name: string): Stat;
}

export class Stats {
  private readonly held = new Map<string, Held>();
  private readonly collectors: (() => void)[] = [];

  /** @param tag what tells scopes of one kind apart: an address, a stat prefix; '' for none */
  scope(scope: string, tag = ''): StatScope {
    return {
      counter: (name) => this.stat(scope, tag, name, 'counter'),
      gauge: (name) => this.stat(scope, tag, name, 'gauge'),
    };
  }

  /** For removed scopes; counts on a stat kept by a caller are lost from then on. */
  forget(scope: string, tag: string, names: readonly string[]): void {
    for (const name of names) this.held.delete(fullName(scope, tag, name));
  }

  /** Runs before each reading: sets gauges that are read, not counted. */
  onCollect(collect: () => void): void {
    this.collectors.push(collect);
  }

  /** [name, value] in Envoy's form, sorted by name. */
  entries(): [string, number][] {
    for (const collect of this.collectors) collect();
    return [...this.held]
      .map(([name, { value }]): [string, number] => [name, value])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Prometheus' text exposition, format 0.0.4. */
  expose(): string {
    for (const collect of this.collectors) collect();
    const families = new Map<string, { kind: string; lines: string[] }>();
    for (const { scope, tag, name, kind, value } of this.held.values()) {
      const { metric, label } = prometheusName(scope, tag, name);
      const family = families.get(metric) ?? { kind, lines: [] };
      family.lines.push(`${metric}${label} ${value}`);
      families.set(metric, family);
    }
    return [...families].map(([metric, { kind, lines }]) => `# TYPE ${metric} ${kind}\n${lines.join('\n')}\n`).join('');
  }

  private stat(scope: string, tag: string, name: string, kind: Held['kind']): Stat {
    const full = fullName(scope, tag, name);
    const known = this.held.get(full);
    if (known) return known;
    if (this.held.size >= MAX_STATS && tag !== 'overflow') return this.stat(scope, 'overflow', name, kind);
    const made: Held = { scope, tag, name, kind, value: 0 };
    this.held.set(full, made);
    return made;
  }
}

/** As Envoy names the metric and what it takes out of the stat's name as labels. */
function prometheusName(scope: string, tag: string, name: string): { metric: string; label: string } {
  const route = scope === 'vhost' ? /^(.*)\.route\.(.*)$/s.exec(tag) : null;
  const metric = `envoy_${scope}_${route ? 'route_' : ''}${name}`.replace(/[^A-Za-z0-9_]/g, '_');
  if (route) {
    const [host = '', prefix = ''] = route.slice(1).map(escapeLabel);
    return { metric, label: `{envoy_virtual_host="${host}",envoy_route="${prefix}"}` };
  }
  return { metric, label: tag === '' ? '' : `{${LABELS[scope] ?? 'envoy_scope'}="${escapeLabel(tag)}"}` };
}

/** As Envoy, a colon would be read as a separator by statsd sinks. */
function fullName(scope: string, tag: string, name: string): string {
  return `${scope}.${tag === '' ? '' : `${tag.replaceAll(':', '_')}.`}${name}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}
