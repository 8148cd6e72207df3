import { afterEach, describe, expect, it, vi } from 'vitest';
import { ClusterLoadAssignment, Cluster as ClusterSchema } from '../../../shared/xds/cluster.ts';
import { ConfigError } from '../../config-error.ts';
import type { TlsContext } from '../../runtime/runtime.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import { type ClusterDeps, compileCluster } from './compile-cluster.ts';

const made: { close(): void }[] = [];
afterEach(() => {
  for (const cluster of made.splice(0)) cluster.close();
});

function deps(over: Partial<ClusterDeps> = {}): ClusterDeps & { time: number } {
  let seed = 1;
  const out: ClusterDeps & { time: number } = {
    time: 0,
    tls: () => () => ({ kind: 'client' }) as TlsContext,
    resolve: () => Promise.reject(new Error('no DNS')),
    now: () => out.time,
    // A fixed sequence, evenly spread.
    random: () => (seed = (seed * 16807) % 2147483647) / 2147483647,
    ...over,
  };
  return out;
}

interface Spec {
  address: string;
  health?: string;
  weight?: number;
  metadata?: object;
}

function locality(priority: number, specs: Spec[], weight?: number) {
  return {
    priority,
    loadBalancingWeight: weight,
    lbEndpoints: specs.map(({ address, health, weight: w, metadata }) => ({
      endpoint: { address: { socketAddress: { address, portValue: 80 } } },
      healthStatus: health,
      loadBalancingWeight: w,
      metadata,
    })),
  };
}

function compile(config: object, localities: object[], given: ClusterDeps = deps()) {
  const assignment = ClusterLoadAssignment.parse(clean({ clusterName: 'c', endpoints: localities }));
  const parsed = ClusterSchema.parse(clean({ name: 'c', type: 'EDS', ...config }));
  const cluster = compileCluster(parsed, assignment, given);
  made.push(cluster);
  return cluster;
}

/** Without the undefined fields. */
function clean(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}

function counts(cluster: Cluster, picks: number): Record<string, number> {
  const out: Record<string, number> = {};
  for (let i = 0; i < picks; i++) {
    const id = cluster.pick(undefined, undefined)?.address ?? 'none';
    out[id] = (out[id] ?? 0) + 1;
  }
  return out;
}

const a = '10.0.0.1';
const b = '10.0.0.2';
const c = '10.0.0.3';

describe('balancing', () => {
  it('takes turns', () => {
    expect(counts(compile({}, [locality(0, [{ address: a }, { address: b }])]), 10)).toEqual({ [a]: 5, [b]: 5 });
  });

  it('takes turns by weight', () => {
    const cluster = compile({}, [
      locality(0, [
        { address: a, weight: 3 },
        { address: b, weight: 1 },
      ]),
    ]);
    expect(counts(cluster, 40)).toEqual({ [a]: 30, [b]: 10 });
  });

  it('prefers the less busy of two', () => {
    const cluster = compile({ lbPolicy: 'LEAST_REQUEST' }, [locality(0, [{ address: a }, { address: b }])]);
    cluster.endpoints()[0]!.active = 5;
    const found = counts(cluster, 400);
    expect(found[a]).toBeGreaterThan(60);
    expect(found[a]).toBeLessThan(140);
  });

  it('draws at random', () => {
    const cluster = compile({ lbPolicy: 'RANDOM' }, [
      locality(0, [
        { address: a, weight: 4 },
        { address: b, weight: 1 },
      ]),
    ]);
    expect(counts(cluster, 1000)[a]).toBeGreaterThan(740);
  });

  it('avoids hosts that were tried', () => {
    const cluster = compile({}, [locality(0, [{ address: a }, { address: b }])]);
    const tried = cluster.endpoints().filter((host) => host.address === a);
    for (let i = 0; i < 10; i++) expect(cluster.pick(undefined, tried)?.address).toBe(b);
  });

  it('is empty without an assignment', () => {
    const cluster = compileCluster(ClusterSchema.parse({ name: 'c', type: 'EDS' }), undefined, deps());
    expect(cluster.pick(undefined, undefined)).toBeUndefined();
  });

  it('is empty for ORIGINAL_DST', () => {
    const config = ClusterSchema.parse({
      name: 'PassthroughCluster',
      type: 'ORIGINAL_DST',
      lbPolicy: 'CLUSTER_PROVIDED',
    });
    expect(compileCluster(config, undefined, deps()).pick(undefined, undefined)).toBeUndefined();
  });
});

describe('health', () => {
  const bad = 'UNHEALTHY';

  it('leaves unhealthy endpoints out', () => {
    const cluster = compile({}, [locality(0, [{ address: a }, { address: b }, { address: c, health: bad }])]);
    expect(counts(cluster, 10)).toEqual({ [a]: 5, [b]: 5 });
  });

  it('fails over to the next priority', () => {
    const cluster = compile({}, [locality(0, [{ address: a, health: bad }]), locality(1, [{ address: b }])]);
    expect(counts(cluster, 10)).toEqual({ [b]: 10 });
  });

  it('spills over what the first priority cannot take: half healthy takes 70 %', () => {
    const cluster = compile({}, [
      locality(0, [{ address: a }, { address: c, health: bad }]),
      locality(1, [{ address: b }]),
    ]);
    const found = counts(cluster, 1000);
    expect(found[a]).toBeGreaterThan(650);
    expect(found[a]).toBeLessThan(750);
    expect(found[c]).toBeUndefined();
  });

  it('panics below half health, unless panic is disabled', () => {
    const specs = [{ address: a }, { address: b, health: bad }, { address: c, health: bad }];
    expect(Object.keys(counts(compile({}, [locality(0, specs)]), 30)).sort()).toEqual([a, b, c]);
    const never = { commonLbConfig: { healthyPanicThreshold: { value: 0 } } };
    expect(counts(compile(never, [locality(0, specs)]), 30)).toEqual({ [a]: 30 });
    const none = [locality(0, [{ address: a, health: bad }])];
    expect(counts(compile(never, none), 3)).toEqual({ none: 3 });
    expect(counts(compile({}, none), 3)).toEqual({ [a]: 3 });
  });

  it('weighs localities when configured', () => {
    const cluster = compile({ commonLbConfig: { localityWeightedLbConfig: {} } }, [
      locality(0, [{ address: a }], 90),
      locality(0, [{ address: b }, { address: c }], 10),
    ]);
    expect(counts(cluster, 1000)[a]).toBeGreaterThan(860);
  });
});

describe('outlier detection', () => {
  const config = {
    outlierDetection: { consecutive5xx: 3, interval: '10s', baseEjectionTime: '30s', maxEjectionPercent: 50 },
    commonLbConfig: { healthyPanicThreshold: { value: 0 } },
  };
  const two = [locality(0, [{ address: a }, { address: b }])];

  it('ejects after consecutive failures, returns after the ejection time, doubles it', () => {
    const clock = deps();
    const cluster = compile(config, two, clock);
    const host = cluster.endpoints()[0]!;
    const fail = () => {
      for (let i = 0; i < 3; i++) cluster.report(host, 500);
    };
    cluster.report(host, 500);
    cluster.report(host, 500);
    cluster.report(host, 200);
    cluster.report(host, 'reset');
    expect(counts(cluster, 10)).toEqual({ [a]: 5, [b]: 5 });
    cluster.report(host, 'connect-failure');
    cluster.report(host, 503);
    expect(counts(cluster, 10)).toEqual({ [b]: 10 });
    clock.time = 29_000;
    expect(counts(cluster, 10)).toEqual({ [b]: 10 });
    clock.time = 40_000;
    expect(counts(cluster, 10)).toEqual({ [a]: 5, [b]: 5 });
    fail();
    clock.time = 95_000;
    expect(counts(cluster, 10)).toEqual({ [b]: 10 });
    clock.time = 106_000;
    expect(counts(cluster, 10)).toEqual({ [a]: 5, [b]: 5 });
  });

  it('keeps to the maximal share', () => {
    const cluster = compile(config, two);
    for (const host of cluster.endpoints()) for (let i = 0; i < 3; i++) cluster.report(host, 500);
    expect(counts(cluster, 10)).toEqual({ [b]: 10 });
  });

  it('counts gateway failures and local failures apart when configured', () => {
    const gateway = compile(
      {
        ...config,
        outlierDetection: {
          consecutive5xx: 0,
          consecutiveGatewayFailure: 2,
          enforcingConsecutiveGatewayFailure: 100,
          maxEjectionPercent: 50,
        },
      },
      two,
    );
    const host = gateway.endpoints()[0]!;
    for (const status of [500, 500, 503, 500, 503]) gateway.report(host, status);
    expect(counts(gateway, 10)).toEqual({ [a]: 5, [b]: 5 });
    gateway.report(host, 502);
    expect(counts(gateway, 10)).toEqual({ [b]: 10 });
    const split = compile(
      {
        ...config,
        outlierDetection: {
          consecutive5xx: 1,
          splitExternalLocalOriginErrors: true,
          consecutiveLocalOriginFailure: 2,
          maxEjectionPercent: 50,
        },
      },
      two,
    );
    split.report(split.endpoints()[0]!, 'connect-failure');
    expect(counts(split, 10)).toEqual({ [a]: 5, [b]: 5 });
    split.report(split.endpoints()[0]!, 'timeout');
    expect(counts(split, 10)).toEqual({ [b]: 10 });
  });

  it('carries ejections and counts over to the next version', () => {
    const clock = deps();
    const first = compile(config, two, clock);
    const host = first.endpoints()[0]!;
    host.active = 2;
    first.use.requests = 2;
    for (let i = 0; i < 3; i++) first.report(host, 500);
    const next = compile(config, [locality(0, [{ address: a, weight: 2 }, { address: b }])], {
      ...clock,
      previous: first,
    });
    expect(counts(next, 10)).toEqual({ [b]: 10 });
    expect(next.use).toBe(first.use);
    host.active--;
    expect(next.endpoints()[0]?.active).toBe(1);
  });
});

describe('endpoints of a running EDS cluster', () => {
  const assign = (localities: object[], more: object = {}) =>
    ClusterLoadAssignment.parse(clean({ clusterName: 'c', endpoints: localities, ...more }));
  const two = [locality(0, [{ address: a }, { address: b }])];
  const ids = (cluster: Cluster) => cluster.endpoints().map(({ id }) => id);
  const c = '10.0.0.3';

  it('are replaced in place, with what is known of those that stay', () => {
    const noPanic = { healthyPanicThreshold: { value: 0 } };
    const outlierDetection = { consecutive5xx: 1, maxEjectionPercent: 50 };
    const cluster = compile({ commonLbConfig: noPanic, outlierDetection }, two);
    const [first] = cluster.endpoints();
    first!.active = 2;
    cluster.report(first!, 500);
    const more = [{ address: a, weight: 3 }, { address: b }, { address: c }];
    expect(cluster.updateEndpoints(assign([locality(0, more)]))).toBe(true);
    expect(ids(cluster)).toEqual([`${a}:80`, `${b}:80`, `${c}:80`]);
    expect(cluster.endpoints()[0]).toMatchObject({ weight: 3, active: 2 });
    expect(counts(cluster, 10)).toEqual({ [b]: 5, [c]: 5 });
    expect(
      cluster.updateEndpoints(assign([locality(0, [...more.slice(0, 2), { address: c, health: 'DRAINING' }])])),
    ).toBe(true);
    expect(counts(cluster, 10)).toEqual({ [b]: 10 });
  });

  it('are all that a cluster waits for which came before them', () => {
    const cluster = compile({}, []);
    expect(cluster.pick(undefined, undefined)).toBeUndefined();
    expect(cluster.updateEndpoints(assign(two))).toBe(true);
    expect(counts(cluster, 10)).toEqual({ [a]: 5, [b]: 5 });
  });

  it('continue being checked, without a new start', async () => {
    const dialled: string[] = [];
    const connect = (({ address }: { address: string }) => {
      dialled.push(address);
      return { destroy() {} };
    }) as unknown as NonNullable<ClusterDeps['connect']>;
    const check = { timeout: '60s', interval: '60s', unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} };
    const cluster = compile({ healthChecks: [check] }, two, deps({ connect }));
    await vi.waitUntil(() => dialled.length === 2);
    expect(cluster.updateEndpoints(assign([locality(0, [{ address: a }, { address: b }, { address: c }])]))).toBe(true);
    await vi.waitUntil(() => dialled.includes(c));
    expect(dialled).toEqual([a, b, c]);
    const [group] = two;
    const [one, other] = group!.lbEndpoints;
    const moved = { ...one, endpoint: { ...one!.endpoint, healthCheckConfig: { portValue: 81 } } };
    expect(cluster.updateEndpoints(assign([{ ...group, lbEndpoints: [moved, other] }]))).toBe(false);
  });

  it.each([
    ['one that left', [locality(0, [{ address: a }])], {}],
    ['none at all', [], {}],
    ['another overprovisioning factor', two, { policy: { overprovisioningFactor: 100 } }],
  ])('need a new version of the cluster: %s', (_, localities, more) => {
    const cluster = compile({}, two);
    expect(cluster.updateEndpoints(assign(localities, more))).toBe(false);
    expect(ids(cluster)).toEqual([`${a}:80`, `${b}:80`]);
  });

  it('stay when the next are refused', () => {
    const cluster = compile({}, two);
    expect(() => cluster.updateEndpoints(assign([locality(0, [{ address: a }, { address: 'name.example' }])]))).toThrow(
      'endpoint.address: "name.example" must be an IP address in a EDS cluster',
    );
    expect(counts(cluster, 10)).toEqual({ [a]: 5, [b]: 5 });
  });
});

describe('transport sockets', () => {
  const tlsSocket = {
    name: 'tls',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: 'x',
    },
  };
  const raw = {
    name: 'raw',
    typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer' },
  };
  const matches = [
    { name: 'mtls', match: { tlsMode: 'istio' }, transportSocket: tlsSocket },
    { name: 'plain', match: {}, transportSocket: raw },
  ];

  it('are chosen by the endpoint metadata', () => {
    const metadata = { filterMetadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } } };
    const cluster = compile({ transportSocketMatches: matches }, [
      locality(0, [{ address: a, metadata }, { address: b }]),
    ]);
    expect(cluster.endpoints().map((host) => host.tls('http1')?.kind)).toEqual(['client', undefined]);
  });

  it('fall back to the cluster', () => {
    const cluster = compile({ transportSocket: tlsSocket }, [locality(0, [{ address: a }])]);
    expect(cluster.endpoints()[0]?.tls('http2')?.kind).toBe('client');
  });
});

describe('DNS', () => {
  it('resolves names, keeps the addresses when the name can no longer be resolved', async () => {
    const asked: string[] = [];
    let answer!: (found: { addresses: string[]; ttl: number | undefined }) => void;
    const resolve = (host: string) => {
      asked.push(host);
      return new Promise<{ addresses: string[]; ttl: number | undefined }>((done) => {
        answer = done;
      });
    };
    const config = {
      name: 'c',
      type: 'STRICT_DNS',
      dnsLookupFamily: 'V4_ONLY',
      loadAssignment: { clusterName: 'c', endpoints: [locality(0, [{ address: 'db.example' }])] },
    };
    const parsed = ClusterSchema.parse(clean(config));
    const first = compileCluster(parsed, undefined, deps({ resolve }));
    made.push(first);
    expect(first.pick(undefined, undefined)).toBeUndefined();
    answer({ addresses: [b, a, '::1'], ttl: 60 });
    await Promise.resolve();
    expect(first.endpoints().map((host) => [host.id, host.hostname])).toEqual([
      [`${a}:80`, 'db.example'],
      [`${b}:80`, 'db.example'],
    ]);
    expect(asked).toEqual(['db.example']);
    const next = compileCluster(parsed, undefined, deps({ previous: first }));
    made.push(next);
    expect(next.endpoints()).toHaveLength(2);
  });
});

/** A cluster whose TLS names come from requests. */
const automatic = (auto: object, context: object) => ({
  transportSocket: {
    name: 'tls',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      ...context,
    },
  },
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicitHttpConfig: { httpProtocolOptions: {} },
      upstreamHttpProtocolOptions: auto,
    },
  },
});

const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const errors = (errorMatcher: object) => ({
  typedExtensionProtocolOptions: {
    [HTTP]: {
      '@type': `type.googleapis.com/${HTTP}`,
      explicitHttpConfig: { httpProtocolOptions: {} },
      outlierDetection: { errorMatcher },
    },
  },
});
const status = (exact: string, name = ':status') => ({
  httpResponseHeadersMatch: { headers: [{ name, stringMatch: { exact } }] },
});

describe('TLS names of requests', () => {
  it('give each name connections of its own, and one health and one count', () => {
    const cluster = compile(automatic({ autoSni: true }, {}), [locality(0, [{ address: a }])]);
    const [host] = cluster.endpoints();
    const named = (authority: string) => cluster.secured!(host!, authority);
    expect(named('x.test:443')).toBe(named('x.test:443'));
    expect(named('x.test').poolId).toBe(named('X.test:1').poolId);
    expect(named('x.test').poolId).not.toBe(named('y.test').poolId);
    expect(named('x.test').id).toBe(host!.id);
    named('x.test').active++;
    expect(host!.active).toBe(1);
    expect(compile({}, []).secured).toBeUndefined();
  });
});

describe('faults', () => {
  it.each([
    ['ringHashLbConfig.hashFunction', { lbPolicy: 'RING_HASH', ringHashLbConfig: { hashFunction: 'MURMUR_HASH_2' } }],
    ['ringHashLbConfig.minimumRingSize', { lbPolicy: 'RING_HASH', ringHashLbConfig: { minimumRingSize: '9000000' } }],
    ['maglevLbConfig.tableSize', { lbPolicy: 'MAGLEV', maglevLbConfig: { tableSize: 1024 } }],
    ['leastRequestLbConfig.choiceCount', { lbPolicy: 'LEAST_REQUEST', leastRequestLbConfig: { choiceCount: 1 } }],
    ['lbPolicy', { lbPolicy: 'CLUSTER_PROVIDED' }],
    ['upstreamBindConfig.sourceAddress', { upstreamBindConfig: { sourceAddress: { address: 'here' } } }],
    [
      'typedExtensionProtocolOptions upstreamHttpProtocolOptions.autoSanValidation',
      automatic({ autoSanValidation: true }, {}),
    ],
    ['typedExtensionProtocolOptions outlierDetection.errorMatcher', errors({})],
    [
      'typedExtensionProtocolOptions outlierDetection.errorMatcher.orMatch.rules',
      errors({ orMatch: { rules: [status('404')] } }),
    ],
    ['typedExtensionProtocolOptions outlierDetection.errorMatcher', errors(status('40x'))],
    ['typedExtensionProtocolOptions outlierDetection.errorMatcher', errors(status('404', 'x-status'))],
    [
      'circuitBreakers.thresholds.retryBudget.budgetPercent',
      { circuitBreakers: { thresholds: [{ retryBudget: { budgetPercent: { value: 101 } } }] } },
    ],
  ])('%s', (path, config) => {
    try {
      compile(config, []);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).path).toBe(path);
    }
  });

  it('names an address that is no IP address', () => {
    expect(() => compile({}, [locality(0, [{ address: 'db.example' }])])).toThrow(ConfigError);
  });
});

describe('settings', () => {
  it('reads timeouts, limits and the destination service', () => {
    const cluster = compile(
      {
        connectTimeout: '0.25s',
        circuitBreakers: { thresholds: [{ maxConnections: 7, maxRetries: 4294967295 }] },
        metadata: { filterMetadata: { istio: { services: [{ host: 'h', name: 'n', namespace: 's' }] } } },
        typedExtensionProtocolOptions: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            explicitHttpConfig: { httpProtocolOptions: {} },
            commonHttpProtocolOptions: { idleTimeout: '2s', maxRequestsPerConnection: 5 },
          },
        },
      },
      [],
    );
    expect(cluster).toMatchObject({
      connectTimeoutMs: 250,
      idleTimeoutMs: 2000,
      maxRequestsPerConnection: 5,
      limits: { maxConnections: 7, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 4294967295 },
      destination: { host: 'h', name: 'n', namespace: 's' },
    });
  });
});
