/** Istio's own validation cases put to ours: accepted and refused alike, for the same reason, with the same warnings. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { meshTrustDomainFault, providerServiceFault, proxyAddressFault } from './checks/mesh/mesh-address.ts';
import { drainDurationFault } from './checks/mesh/mesh-proxy-config.ts';
import {
  dnsLabelFault,
  fqdnFault,
  ipOrCidrFault,
  isIp,
  portFault,
  sniDomainFault,
  strictHeaderNameFault,
  wildcardDomainFault,
} from './checks/primitives.ts';
import { localitiesFault } from './checks/traffic-policy.ts';
import { validate } from './index.ts';
import { readMeshConfig } from './mesh-config/mesh-config-read.ts';
import type { Fault } from './resource.ts';
import { duration } from './schema/vocabulary.ts';
import { EXCUSED, REASONS } from './testing/reference-reasons.ts';

const folder = fileURLToPath(new URL('../../../shared/reference/validation/', import.meta.url));
const present = existsSync(folder);
if (!present) console.log('skipped: the reference data is not here');

function read<Case>(name: string): Case[] {
  return present ? (JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')) as Case[]) : [];
}

type Json = Record<string, unknown>;
interface Case extends Json {
  id: string;
  valid: boolean;
  warning?: boolean | null;
  crdSchema: string;
  generate?: { path: string; repeat: string; count: number; encoding?: string };
}

function build(each: Case): Json {
  const { apiVersion, kind, metadata, spec } = each as Json;
  const resource = structuredClone({ apiVersion, kind, metadata, spec }) as Json;
  if (!each.generate) return resource;
  const keys = each.generate.path.slice(1).split('/');
  const last = keys.pop() ?? '';
  const text = each.generate.repeat.repeat(each.generate.count);
  const holder = keys.reduce<Json>((at, key) => at[key] as Json, resource);
  holder[last] = each.generate.encoding === 'base64' ? btoa(text) : text;
  return resource;
}

/** Whether the faults hold what the case is about: the place the CRD names, or the reason in our list. */
function forTheReason(id: string, crd: string, faults: readonly Fault[]): boolean {
  if (crd === 'pass') return faults.some(({ path, rule }) => `${path} ${rule}` === REASONS[id]);
  // `fail (cel): .spec.address: message; .spec.ports: message`
  const places = crd.replace(/^fail[^:]*: /, '').split('; ');
  return places.every((place) => {
    const path = place.slice(1).split(': ', 1)[0] ?? '';
    return faults.some(
      (fault) => fault.path === path || fault.path.startsWith(`${path}.`) || fault.path === parent(path),
    );
  });
}

/** A map's bad value may be told at the map. */
function parent(path: string): string {
  return path.replace(/\.[^.]*$/, '');
}

function told(name: string, right: number, all: number, excused = 0): void {
  console.log(`${name}: ${right} of ${all}${excused > 0 ? `, ${excused} of them excused` : ''}`);
}

describe.skipIf(!present)("Istio's validation cases", () => {
  const cases = read<Case>('cases');

  it('whole resources and fragments', () => {
    const wrong = cases.flatMap((each) => {
      const { faults, warnings: all } = validate(build(each));
      // The cases were judged without the warning that every EnvoyFilter has.
      const warnings = all.filter((warning) => warning.rule !== 'envoyfilter.internals');
      const problems = [
        ...((faults.length === 0) === each.valid ? [] : [each.valid ? 'is refused' : 'is accepted']),
        ...(each.valid || faults.length === 0 || forTheReason(each.id, each.crdSchema, faults) ? [] : ['other reason']),
        ...(typeof each.warning !== 'boolean' || each.warning === warnings.length > 0
          ? []
          : [each.warning ? 'is not warned of' : 'is warned of']),
      ];
      return problems.length === 0 ? [] : [{ id: each.id, problems, faults, warnings }];
    });
    const excused = wrong.filter(({ id }) => id in EXCUSED);
    const left = wrong.filter(({ id }) => !(id in EXCUSED));
    told('validation cases', cases.length - left.length, cases.length, excused.length);
    expect(left).toEqual([]);
    expect(cases.length).toBe(401);
    // An excuse that is no longer needed goes.
    expect(excused.map(({ id }) => id).sort()).toEqual(Object.keys(EXCUSED).sort());
  });

  it('reasons are of cases that are there', () => {
    const ids = new Set(cases.map((each) => each.id));
    expect(Object.keys(REASONS).filter((id) => !ids.has(id))).toEqual([]);
  });
});

describe.skipIf(!present)("cases of the CRDs' schemas and rules", () => {
  interface CrdCase {
    id: string;
    object: unknown;
    valid: boolean;
    structural: string;
    errorContains?: string;
  }
  /** Where the rules lie whose case names no place. */
  const PLACES: Readonly<Record<string, string>> = {
    'Cannot set serviceAccounts with namespaces or principals': 'spec.rules[0].from[0].source',
    'type conversion error from': 'spec.portLevelMtls',
    'portLevelMtls requires selector': 'spec.portLevelMtls',
    'only one of targetRefs or selector can be set': 'spec',
    'cross namespace referencing is not currently supported': 'spec.targetRef.namespace',
    'only one of WorkloadSelector or Endpoints can be set': 'spec',
    'CIDR addresses are allowed only for NONE/STATIC resolution types': 'spec.addresses',
    'DNS_ROUND_ROBIN mode cannot have multiple endpoints': 'spec.endpoints',
    'value must not be set when operation is REMOVE': 'spec.metrics[0].overrides[0].tagOverrides.foo.value',
    'url must have schema one of': 'spec.url',
    'value may only be set when valueFrom is INLINE': 'spec.vmConfig.env[0].value',
    'Address is required': 'spec.address',
    'UDS may not include ports': 'spec.ports',
  };
  const PORTS: Readonly<Record<string, string>> = {
    'serviceentry-invalid/bad-port': 'spec.ports[0].number',
    'serviceentry-invalid/bad-port-target': 'spec.ports[0].targetPort',
    'workloadentry-invalid/high-port': 'spec.ports.http',
  };

  function placeOf(each: CrdCase): string {
    const structural = /^fail: \.([^:]+)/.exec(each.structural)?.[1];
    const named = /^(spec[\w.[\]]*): Invalid/.exec(each.errorContains ?? '')?.[1];
    return structural ?? PORTS[each.id] ?? named ?? PLACES[each.errorContains ?? ''] ?? 'no place is known';
  }

  it('are all judged alike, at the same place', () => {
    const cases = read<CrdCase>('crd-cases');
    const wrong = cases.flatMap((each) => {
      const { faults } = validate(each.object);
      const place = placeOf(each);
      const right = each.valid
        ? faults.length === 0
        : faults.some(({ path }) => path === place || path.startsWith(`${place}.`));
      return right ? [] : [{ id: each.id, valid: each.valid, place, faults }];
    });
    told('CRD cases', cases.length - wrong.length, cases.length);
    expect(wrong).toEqual([]);
    expect(cases.length).toBe(56);
  });
});

describe.skipIf(!present)('single values', () => {
  const meshConfigFault = (field: string, text: string) =>
    readMeshConfig(`${field}: ${JSON.stringify(text)}`).faults.find((fault) => fault.path === field)?.message;
  const durationFault = (text: string) => duration(1).safeParse(text).error?.message;
  const sni = ({ domain }: { domain: string }) => sniDomainFault(domain);

  /** Each of Istio's functions, by what says the same of ours. */
  const checks: Readonly<Record<string, (input: never) => string | undefined>> = {
    ValidateWildcardDomainForVirtualServiceBoundToGateway: sni,
    ValidateStrictHTTPHeaderName: strictHeaderNameFault,
    ValidatePortName: dnsLabelFault,
    ValidateMaxServerConnectionAge: durationFault,
    ValidateFQDN: fqdnFault,
    ValidatePort: portFault,
    ValidateProxyAddress: proxyAddressFault,
    'ValidateDuration (>=1ms, ms precision)': durationFault,
    ValidateDrainDuration: drainDurationFault,
    ValidateConnectTimeout: (text: string) => meshConfigFault('connectTimeout', text),
    ValidateProtocolDetectionTimeout: (text: string) => meshConfigFault('protocolDetectionTimeout', text),
    ValidateTrustDomain: meshTrustDomainFault,
    validateLocalities: localitiesFault,
    ValidateIPAddress: (text: string) => (isIp(text) ? undefined : 'is no IP address'),
    ValidateIPSubnet: ipOrCidrFault,
    // A name that is not made by a gateway is judged as any other domain name, so it has no such parts.
    parseAutoGeneratedSNIDomain: (text: string) =>
      sniDomainFault(text) === wildcardDomainFault(text) ? 'is not made by a gateway' : undefined,
    validateExtensionProviderService: providerServiceFault,
  };

  it('are all judged alike', () => {
    const cases = read<{ id: string; function: string; input: unknown; valid: boolean }>('primitives');
    const wrong = cases.filter((each) => (checks[each.function]?.(each.input as never) === undefined) !== each.valid);
    told('single values', cases.length - wrong.length, cases.length);
    expect(wrong).toEqual([]);
    expect(cases.length).toBe(45);
    expect([...new Set(cases.map((each) => each.function))].filter((name) => !checks[name])).toEqual([]);
  });
});
