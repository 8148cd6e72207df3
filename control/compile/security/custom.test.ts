import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { NetworkFilter } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import type { MeshService } from '../../mesh/view.ts';
import { compileWithNotes, nodeCompiler } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';
import { authorizersOf, serviceOf } from './authorizers.ts';
import { buildCustomFilters } from './custom.ts';
import type { AuthorizationPolicy } from './rbac.ts';

const HOST = 'authz.security.svc.cluster.local';
const services = [{ hostname: HOST, namespace: 'security', exportTo: ['*'] }] as unknown as MeshService[];
const PROVIDERS = [
  { name: 'http', envoyExtAuthzHttp: { service: HOST, port: 8000 } },
  { name: 'grpc', envoyExtAuthzGrpc: { service: `security/${HOST}`, port: 9000 } },
  { name: 'gone', envoyExtAuthzGrpc: { service: 'gone.example.com', port: 9000 } },
];
const policy = (name: string, provider: string, more: object = {}, annotations = {}): AuthorizationPolicy =>
  ({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: 'default', annotations },
    spec: {
      action: 'CUSTOM',
      provider: { name: provider },
      rules: [{ to: [{ operation: { paths: [`/${name}`] } }] }],
      ...more,
    },
  }) as AuthorizationPolicy;

const settingsOf = (extensionProviders: object[]) => parseMeshConfig(JSON.stringify({ extensionProviders }));
const build = (policies: AuthorizationPolicy[], { several = false, providers = PROVIDERS as object[] } = {}) => {
  const reports: string[] = [];
  const ctx = {
    trustDomain: 'td',
    trustDomainAliases: [],
    rootNamespace: 'istio-system',
    authorizers: authorizersOf({ services, settings: settingsOf(providers) }),
    multipleAuthorizers: several,
    report: ({ metadata: { name } }: AuthorizationPolicy, message: string) => void reports.push(`${name}: ${message}`),
  };
  // Through the schemas: what is built must be what a proxy accepts.
  const http = buildCustomFilters(policies, { ...ctx, kind: 'http' }).map((one) => HttpFilter.parse(one));
  const tcp = buildCustomFilters(policies, { ...ctx, kind: 'tcp' }).map((one) => NetworkFilter.parse(one));
  return { http, tcp, reports: [...new Set(reports)] };
};
const kinds = (filters: { name: string; typedConfig: object }[]) =>
  filters.map(({ name, typedConfig }) => `${name.split('.').at(-1)}${'rules' in typedConfig ? ' denies' : ''}`);

describe('CUSTOM', () => {
  it('asks the provider about what the policies select', () => {
    const { http, tcp, reports } = build([policy('a', 'grpc'), policy('b', 'grpc')]);
    expect([kinds(http), kinds(tcp), reports]).toEqual([['rbac', 'ext_authz'], ['rbac', 'ext_authz'], []]);
    expect(
      Object.keys((http[0]!.typedConfig as unknown as { shadowRules: { policies: object } }).shadowRules.policies),
    ).toEqual([
      'istio-ext-authz-grpc-ns[default]-policy[a]-rule[0]',
      'istio-ext-authz-grpc-ns[default]-policy[b]-rule[0]',
    ]);
  });
  it('does not ask a provider that speaks HTTP about connections, as Istio', () => {
    const { http, tcp } = build([policy('a', 'http')]);
    expect([kinds(http), kinds(tcp)]).toEqual([['rbac', 'ext_authz'], []]);
  });
  it.each([
    ['is unknown', 'none', 'there is no such extension provider'],
    ['has no service', 'gone', 'there is no service gone.example.com'],
  ])('denies where the provider %s, and says so', (_, provider, why) => {
    const { http, tcp, reports } = build([policy('a', provider)]);
    expect([kinds(http), kinds(tcp)]).toEqual([['rbac denies'], ['rbac denies']]);
    expect(JSON.stringify(http)).toContain(
      `istio-ext-authz-${provider}-ns[default]-policy[a]-rule[0]-deny-due-to-bad-CUSTOM-action`,
    );
    expect(reports).toEqual([
      expect.stringMatching(`^a: spec.provider: "${provider}": ${why}.*: what the policy selects is denied$`),
    ]);
  });
  it('of several providers denies, unless the control plane permits it', () => {
    const both = [policy('a', 'http'), policy('b', 'grpc')];
    const refused = build(both);
    expect([kinds(refused.http), kinds(refused.tcp), refused.reports.length]).toEqual([
      ['rbac denies', 'rbac denies'],
      ['rbac denies', 'rbac denies'],
      2,
    ]);
    const { http, tcp, reports } = build(both, { several: true });
    expect([kinds(http), kinds(tcp), reports]).toEqual([
      ['rbac', 'ext_authz', 'rbac', 'ext_authz'],
      ['rbac', 'ext_authz'],
      [],
    ]);
  });
  it('of an unknown provider beside another is reported as unknown, and the other names both', () => {
    const { http, reports } = build([policy('a', 'none'), policy('b', 'grpc')]);
    expect([kinds(http), reports.toSorted()]).toEqual([
      ['rbac denies', 'rbac denies'],
      [
        expect.stringContaining('a: spec.provider: "none": there is no such extension provider'),
        expect.stringContaining(
          'b: spec.provider: "grpc": the workload has CUSTOM policies of several providers (grpc, none)',
        ),
      ],
    ]);
  });
  it('as a dry run records what it selects and asks nothing', () => {
    const { http, reports } = build([policy('a', 'grpc', {}, { 'istio.io/dry-run': 'true' })]);
    expect([kinds(http), reports]).toEqual([['rbac'], []]);
    expect(http[0]!.typedConfig).toMatchObject({ shadowRulesStatPrefix: 'istio_dry_run_custom_' });
  });
});

describe('a provider', () => {
  const asked = (fields: object) => {
    const providers = [{ name: 'p', envoyExtAuthzHttp: { service: HOST, port: 8000, ...fields } }];
    const { http, reports } = build([policy('a', 'p')], { providers });
    return { config: http.find(({ name }) => name.endsWith('ext_authz'))?.typedConfig, reports };
  };
  it('has names of headers with wildcards', () => {
    const patterns = (names: string[]) =>
      (asked({ includeRequestHeadersInCheck: names }).config as unknown as { allowedHeaders: { patterns: object[] } })
        .allowedHeaders.patterns;
    expect(patterns(['X-A', 'x-*', '*-b', '*'])).toEqual([
      { exact: 'X-A', ignoreCase: true },
      { prefix: 'x-', ignoreCase: true },
      { suffix: '-b', ignoreCase: true },
      { safeRegex: { regex: '.+' } },
    ]);
  });
  it('may fail open, clear the route, and have a status', () => {
    expect(
      asked({ failOpen: true, clearRouteCache: true, statusOnError: '503', timeout: '250ms' }).config,
    ).toMatchObject({
      failureModeAllow: true,
      clearRouteCache: true,
      statusOnError: { code: 'ServiceUnavailable' },
      httpService: { serverUri: { timeout: '0.250s' } },
    });
  });
  it.each([
    ['a body of 0 bytes', { includeRequestBodyInCheck: { maxRequestBytes: 0 } }],
    ['a path with a space', { pathPrefix: '/a b' }],
    ['a header of the connection', { includeAdditionalHeadersInCheck: { 'Content-Length': '1' } }],
    ['a name that is none', { includeAdditionalHeadersInCheck: { 'x y': '1' } }],
    ['a format without its end', { includeAdditionalHeadersInCheck: { 'x-y': '50%' } }],
  ])('that no proxy could run denies: %s', (_, fields) => {
    const { config, reports } = asked(fields);
    expect([config, reports.length]).toEqual([undefined, 1]);
  });
  it.each<[string, string, [namespace: string, exportTo: string][], string | { reason: string }]>([
    ['the only one', 'authz.example', [['a', '*']], 'a'],
    [
      'that of the root namespace',
      'authz.example',
      [
        ['a', '*'],
        ['istio-system', '.'],
      ],
      'istio-system',
    ],
    [
      'one that the root namespace sees',
      'authz.example',
      [
        ['a', '.'],
        ['b', 'istio-system'],
      ],
      'b',
    ],
    [
      'by its namespace',
      'b/authz.example',
      [
        ['a', '*'],
        ['b', '.'],
      ],
      'b',
    ],
    [
      'that of the namespace in its host',
      'authz.b.svc.cluster.local',
      [
        ['a', '*'],
        ['b', '*'],
      ],
      'b',
    ],
    [
      'of several none',
      'authz.example',
      [
        ['a', '*'],
        ['b', '*'],
      ],
      { reason: 'its service authz.example is in several namespaces: write namespace/host' },
    ],
    [
      'none that is private',
      'authz.example',
      [['a', '.']],
      { reason: 'its service authz.example is not exported to istio-system: write namespace/host' },
    ],
    [
      'none of another namespace than that in its host',
      'authz.b.svc.cluster.local',
      [['a', '*']],
      { reason: 'its service authz.b.svc.cluster.local is not of namespace b or istio-system: write namespace/host' },
    ],
    ['none that does not exist', 'b/authz.example', [['a', '*']], { reason: 'there is no service b/authz.example' }],
  ])('its service is %s', (_, service, offered, wanted) => {
    const hostname = service.slice(service.indexOf('/') + 1);
    const services = offered.map(([namespace, exportTo]) => ({ hostname, namespace, exportTo: [exportTo] }));
    const found = typeof wanted === 'string' ? { hostname, namespace: wanted } : wanted;
    expect(serviceOf(services, service, 'istio-system')).toEqual(found);
  });
});

describe('a proxy with CUSTOM policies', () => {
  const entry = (name: string, namespace: string, address: string, ports: object[]): Resource => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, namespace },
    spec: {
      hosts: [`${name}.${namespace}.svc.cluster.local`],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports,
      endpoints: [{ address, labels: { app: name }, serviceAccount: name }],
    },
  });
  const web = entry('web', 'default', '10.0.0.2', [{ number: 9080, name: 'http', protocol: 'HTTP' }]);
  const authz = entry('authz', 'security', '10.0.0.3', [{ number: 9000, name: 'grpc', protocol: 'GRPC' }]);
  const hiding: Resource = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'default', namespace: 'default' },
    spec: { egress: [{ hosts: ['./*'] }] },
  };
  const node = { id: 'sidecar~10.0.0.2~web.default~default.svc.cluster.local', metadata: {} };
  const settings = settingsOf(PROVIDERS);
  const compile = (...resources: Resource[]) => compileWithNotes(buildView(resources, 1, settings), node);

  it('has the cluster of the provider, also where a Sidecar hides it, and no route to it', () => {
    const named = ({ snapshot }: ReturnType<typeof compile>, type: 'clusters' | 'routes') =>
      JSON.stringify(snapshot[type]).includes(HOST);
    const hidden = compile(web, authz, hiding);
    expect([named(hidden, 'clusters'), named(hidden, 'routes')]).toEqual([false, false]);
    const asking = compile(web, authz, hiding, policy('p', 'grpc'));
    expect([named(asking, 'clusters'), named(asking, 'routes')]).toEqual([true, false]);
    expect(asking.snapshot.endpoints?.map(({ clusterName }) => clusterName)).toContain(`outbound|9000||${HOST}`);
  });
  it.each([
    ['a namespace that comes first', 'a', ['*'], []],
    ['its own namespace', 'default', ['*'], []],
    ['a namespace that exports nothing, where a Sidecar hides the provider', 'a', ['.'], [hiding]],
  ])('does not ask a service of the same host in %s', (_, namespace, exportTo, others) => {
    const squatter = entry('authz', namespace, '10.6.6.6', [{ number: 9000, name: 'grpc', protocol: 'GRPC' }]);
    const spec = { ...(squatter as unknown as { spec: object }).spec, hosts: [HOST], exportTo };
    const { snapshot } = compile(web, { ...squatter, spec } as Resource, authz, policy('p', 'grpc'), ...others);
    const asked = snapshot.endpoints?.filter(({ clusterName }) => clusterName === `outbound|9000||${HOST}`);
    expect(asked).toHaveLength(1);
    expect(JSON.stringify(asked)).toContain('"10.0.0.3"');
    expect(JSON.stringify(asked)).not.toContain('10.6.6.6');
  });
  it('is given the cluster unasked where it fetches hosts on demand', () => {
    const onDemand = {
      ...node,
      clientFeatures: ['tulle.virtual-hosts', 'tulle.on-demand'],
      metadata: { INTERCEPTION_MODE: 'NONE' },
    };
    const view = buildView([web, authz, hiding, policy('p', 'grpc')], 1, settings);
    const { eager } = inOneGo(nodeCompiler()(view, onDemand));
    expect(eager?.clusters).toContain(`outbound|9000||${HOST}`);
  });
  it('says in its findings what denies', () => {
    const view = buildView([web, policy('p', 'grpc')], 1, settings);
    const { errors } = inOneGo(nodeCompiler()(view, node));
    expect(errors).toEqual([
      expect.objectContaining({
        reason: 'PolicyFailsClosed',
        message: `spec.provider: "grpc": there is no service security/${HOST}: what the policy selects is denied`,
      }),
    ]);
  });
  it('says in its findings that a provider which speaks HTTP is not asked about ports that do not', () => {
    const both = entry('web', 'default', '10.0.0.2', [
      { number: 9080, name: 'http', protocol: 'HTTP' },
      { number: 9090, name: 'tcp', protocol: 'TCP' },
      { number: 9091, name: 'other' },
    ]);
    const view = buildView([both, authz, policy('p', 'http'), policy('q', 'grpc')], 1, {
      ...settings,
      multipleAuthorizers: true,
    });
    const { errors } = inOneGo(nodeCompiler()(view, node));
    const what = (ports: string) =>
      `spec.provider: speaks HTTP and is not asked about ${ports}: the policy does not restrict them`;
    expect(errors.map(({ about, message }) => [about.metadata.name, message])).toEqual([
      ['p', what('port 9090')],
      ['p', what('connections to port 9091 that carry no HTTP')],
    ]);
  });
});
