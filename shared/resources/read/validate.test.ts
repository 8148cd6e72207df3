import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kindByPlural, kindOf, kinds, parseDuration, validate } from '../index.ts';

const virtualService = (spec: unknown, metadata: unknown = { name: 'reviews' }) =>
  validate({ apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata, spec });
const paths = (result: { violations: { path: string }[] }) =>
  result.violations.map((violation) => violation.path).sort();

describe('validate', () => {
  it('names every violation with its path, at once', () => {
    const result = virtualService({
      hosts: ['reviews'],
      gatways: ['a'],
      http: [
        { timeout: 'soon', route: [{ weight: '3', destination: {} }] },
        { mirorr: 1, route: [{ destination: { host: 'a' }, weight: -1 }, { destination: { host: 'b_' } }] },
      ],
    });
    expect(paths(result)).toEqual([
      'spec.gatways',
      'spec.http[0].route[0].destination.host',
      'spec.http[0].route[0].weight',
      'spec.http[0].timeout',
      'spec.http[1].mirorr',
    ]);
    expect(result.violations.find((violation) => violation.path === 'spec.gatways')).toEqual({
      path: 'spec.gatways',
      rule: 'unknown-field',
      message: 'unknown field "gatways" (did you mean "gateways"?)',
    });
    expect(result.violations.find((violation) => violation.path.endsWith('weight'))?.message).toBe(
      'must be a number, not a string',
    );
    expect(result.resource).toBeUndefined();
  });

  it('a typing mistake does not hide what is wrong elsewhere', () => {
    const result = virtualService({
      hosts: ['reviews'],
      http: [
        { mirorr: {}, route: [{ destination: { host: 'a' } }] },
        { route: [{ destination: { host: 'a' }, weight: -1 }] },
      ],
    });
    expect(paths(result)).toEqual(['spec.http[0].mirorr', 'spec.http[1].route[0].weight']);
  });

  it('a wrong value does not hide values that are wrong by themselves', () => {
    const match = [{ uri: { regex: '(?=a)b' } }, { sourceLabels: { a: 'b c' }, port: 70000 }];
    const result = virtualService({
      hosts: ['reviews'],
      http: [
        { timeout: '5x', match, route: [{ destination: { host: 'b_' }, weight: 'x' }] },
        { match: [{ uri: { regex: 7 } }], route: [{ destination: { host: 'a' } }] },
        { timeout: '5x', route: [{ destination: { host: 'a' }, weight: -1 }] },
        { timeout: '5x', directResponse: { status: 99 } },
      ],
    });
    expect(paths(result)).toEqual([
      'spec.http[0].match[0].uri.regex',
      'spec.http[0].match[1].port',
      'spec.http[0].match[1].sourceLabels.a',
      'spec.http[0].route[0].destination.host',
      'spec.http[0].route[0].weight',
      'spec.http[0].timeout',
      'spec.http[1].match[0].uri.regex',
      'spec.http[2].route[0].weight',
      'spec.http[2].timeout',
      'spec.http[3].directResponse.status',
      'spec.http[3].timeout',
    ]);
    const egress = { resolution: 'BOGUS', hosts: ['b_.x'], ports: [{ name: 'a_', number: 80 }], addresses: ['x'] };
    const entry = { apiVersion: 'networking.istio.io/v1', kind: 'ServiceEntry', metadata: { name: 'a' }, spec: egress };
    expect(paths(validate(entry))).toEqual([
      'spec.addresses[0]',
      'spec.hosts[0]',
      'spec.ports[0].name',
      'spec.resolution',
    ]);
  });

  it('a broken rule hides no other, and is reported once', () => {
    const { violations } = validate({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'a' },
      spec: {
        hosts: ['*', 'b_.example.com'],
        ports: [
          { name: 'http', number: 0 },
          { name: 'http', number: 81, protocl: 'HTTP' },
        ],
        endpoints: [{ address: 'unix://relative' }],
        workloadSelector: {},
      },
    });
    expect(violations.map(({ path, rule }) => `${path} ${rule}`).sort()).toEqual([
      'spec serviceentry.endpoints',
      'spec.endpoints serviceentry.none-endpoints',
      'spec.endpoints[0].address workloadentry.unix-path',
      'spec.hosts[0] serviceentry.host',
      'spec.hosts[1] serviceentry.host',
      'spec.ports[0].number port',
      'spec.ports[1].name duplicate-key',
      'spec.ports[1].protocl unknown-field',
    ]);
  });

  it.each([
    ['v1', 'Servce', 'did you mean "Service"'],
    ['networking.istio.io/v9', 'Gateway', 'use networking.istio.io/v1'],
    ['security.istio.io/v1', 'VirtualService', 'belongs to "networking.istio.io/v1"'],
    ['', 'Gateway', 'is required'],
  ])('%s %s: %s', (apiVersion, kind, message) => {
    const { violations } = validate({ apiVersion, kind, metadata: { name: 'a' } });
    expect(violations.map((violation) => violation.message).join()).toContain(message);
  });

  it('null fields are absent ones, nulls in lists are violations', () => {
    expect(
      virtualService({ hosts: ['a'], tcp: null, http: [{ route: [{ destination: { host: 'a' } }] }] }).violations,
    ).toEqual([]);
    expect(paths(virtualService({ hosts: [null], http: [{ route: [{ destination: { host: 'a' } }] }] }))).toEqual([
      'spec.hosts[0]',
    ]);
  });

  it('judges metadata', () => {
    const spec = { hosts: ['a'], http: [{ route: [{ destination: { host: 'a' } }] }] };
    expect(paths(virtualService(spec, { name: 'A_b' }))).toEqual(['metadata.name']);
    expect(paths(virtualService(spec, undefined))).toEqual([]);
    expect(paths(virtualService(spec, null))).toEqual(['metadata']);
    expect(paths(virtualService(spec, { name: 'a', lables: {}, namespace: 'x.y' }))).toEqual(['metadata.lables']);
    expect(paths(virtualService(spec, { name: 'a', labels: { a: 'b c' }, namespace: 'x.y' }))).toEqual([
      'metadata.labels["a"]',
      'metadata.namespace',
    ]);
  });

  it('never shows the values of a secret', () => {
    const bad = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' }, data: { key: 'hunter2!', other: 7 } };
    const { violations } = validate(bad);
    expect(violations.map((violation) => violation.path)).toContain('data.other');
    expect(JSON.stringify(validate({ ...bad, data: { key: 'hunter2!' } }).violations)).not.toContain('hunter2');
    expect(validate({ ...bad, data: { key: 'hunter2!' } }).violations).toHaveLength(1);
  });

  it('never throws, for any value', () => {
    const names = kinds.map((kind) => kind.kind);
    const versions = kinds.map((kind) => (kind.group ? `${kind.group}/${kind.versions[0]}` : 'v1'));
    fc.assert(
      fc.property(fc.nat(names.length - 1), fc.jsonValue(), fc.jsonValue(), (i, spec, metadata) => {
        validate(spec);
        const result = validate({ apiVersion: versions[i], kind: names[i], metadata, spec });
        expect(result.resource === undefined).toBe(result.violations.length > 0);
      }),
    );
    let deep: unknown = 1;
    for (let i = 0; i < 10_000; i++) deep = [deep];
    expect(
      validate({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: deep }).violations[0]?.rule,
    ).toBe('depth');
  });
});

it('the registry finds kinds by each of their names', () => {
  expect(kindOf('networking.istio.io/v1alpha3', 'VirtualService')?.plural).toBe('virtualservices');
  expect(kindOf('networking.istio.io/v2', 'VirtualService')).toBeUndefined();
  expect(kindByPlural('', 'services')?.kind).toBe('Service');
  expect(new Set(kinds.map((kind) => `${kind.group}/${kind.kind}`)).size).toBe(kinds.length);
});

it.each([
  ['1.5s', 1500],
  ['300ms', 300],
  ['1h2m3s', 3_723_000],
  ['0', 0],
  ['0s', 0],
  ['-1s', -1000],
  ['1', undefined],
  ['', undefined],
  ['1 s', undefined],
  ['1d', undefined],
])('duration %j is %s ms', (text, ms) => expect(parseDuration(text)).toBe(ms));
