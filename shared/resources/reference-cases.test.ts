/** Istio's own validation cases put to ours: accepted and refused alike, for the same reason, with the same warnings. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  meshTrustDomainViolation,
  providerServiceViolation,
  proxyAddressViolation,
} from './checks/mesh/mesh-address.ts';
import { drainDurationViolation } from './checks/mesh/mesh-proxy-config.ts';
import {
  dnsLabelViolation,
  fqdnViolation,
  ipOrCidrViolation,
  isIp,
  portViolation,
  sniDomainViolation,
  strictHeaderNameViolation,
  wildcardDomainViolation,
} from './checks/primitives.ts';
import { localitiesViolation } from './checks/traffic-policy.ts';
import { validate } from './index.ts';
import { readMeshConfig } from './mesh-config/mesh-config-read.ts';
import type { Violation } from './resource.ts';
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

/** Whether the violations hold what the case is about: the place the CRD names, or the reason in our list. */
function forTheReason(id: string, crd: string, violations: readonly Violation[]): boolean {
  if (crd === 'pass') return violations.some(({ path, rule }) => `${path} ${rule}` === REASONS[id]);
  // `fail (cel): .spec.address: message; .spec.ports: message`
  const places = crd.replace(/^fail[^:]*: /, '').split('; ');
  return places.every((place) => {
    const path = place.slice(1).split(': ', 1)[0] ?? '';
    return violations.some(
      (violation) =>
        violation.path === path || violation.path.startsWith(`${path}.`) || violation.path === parent(path),
    );
  });
}

/** A map's bad value may be reported at the map. */
function parent(path: string): string {
  return path.replace(/\.[^.]*$/, '');
}

function printResult(name: string, right: number, all: number, excused = 0): void {
  console.log(`${name}: ${right} of ${all}${excused > 0 ? `, ${excused} of them excused` : ''}`);
}

describe.skipIf(!present)("Istio's validation cases", () => {
  const cases = read<Case>('cases');

  it('whole resources and fragments', () => {
    const wrong = cases.flatMap((each) => {
      const { violations, warnings: all } = validate(build(each));
      // The cases were judged without the warning that every EnvoyFilter has.
      const warnings = all.filter((warning) => warning.rule !== 'envoyfilter.internals');
      const problems = [
        ...((violations.length === 0) === each.valid ? [] : [each.valid ? 'is refused' : 'is accepted']),
        ...(each.valid || violations.length === 0 || forTheReason(each.id, each.crdSchema, violations)
          ? []
          : ['other reason']),
        ...(typeof each.warning !== 'boolean' || each.warning === warnings.length > 0
          ? []
          : [each.warning ? 'is not warned of' : 'is warned of']),
      ];
      return problems.length === 0 ? [] : [{ id: each.id, problems, violations, warnings }];
    });
    const excused = wrong.filter(({ id }) => id in EXCUSED);
    const left = wrong.filter(({ id }) => !(id in EXCUSED));
    printResult('validation cases', cases.length - left.length, cases.length, excused.length);
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
      const { violations } = validate(each.object);
      const place = placeOf(each);
      const right = each.valid
        ? violations.length === 0
        : violations.some(({ path }) => path === place || path.startsWith(`${place}.`));
      return right ? [] : [{ id: each.id, valid: each.valid, place, violations }];
    });
    printResult('CRD cases', cases.length - wrong.length, cases.length);
    expect(wrong).toEqual([]);
    expect(cases.length).toBe(56);
  });
});

describe.skipIf(!present)('single values', () => {
  const meshConfigViolation = (field: string, text: string) =>
    readMeshConfig(`${field}: ${JSON.stringify(text)}`).violations.find((violation) => violation.path === field)
      ?.message;
  const durationViolation = (text: string) => duration(1).safeParse(text).error?.message;
  const sni = ({ domain }: { domain: string }) => sniDomainViolation(domain);

  /** Each of Istio's functions, with our equivalent. */
  const checks: Readonly<Record<string, (input: never) => string | undefined>> = {
    ValidateWildcardDomainForVirtualServiceBoundToGateway: sni,
    ValidateStrictHTTPHeaderName: strictHeaderNameViolation,
    ValidatePortName: dnsLabelViolation,
    ValidateMaxServerConnectionAge: durationViolation,
    ValidateFQDN: fqdnViolation,
    ValidatePort: portViolation,
    ValidateProxyAddress: proxyAddressViolation,
    'ValidateDuration (>=1ms, ms precision)': durationViolation,
    ValidateDrainDuration: drainDurationViolation,
    ValidateConnectTimeout: (text: string) => meshConfigViolation('connectTimeout', text),
    ValidateProtocolDetectionTimeout: (text: string) => meshConfigViolation('protocolDetectionTimeout', text),
    ValidateTrustDomain: meshTrustDomainViolation,
    validateLocalities: localitiesViolation,
    ValidateIPAddress: (text: string) => (isIp(text) ? undefined : 'is no IP address'),
    ValidateIPSubnet: ipOrCidrViolation,
    // A name that is not made by a gateway is judged as any other domain name, so it has no such parts.
    parseAutoGeneratedSNIDomain: (text: string) =>
      sniDomainViolation(text) === wildcardDomainViolation(text) ? 'is not made by a gateway' : undefined,
    validateExtensionProviderService: providerServiceViolation,
  };

  it('are all judged alike', () => {
    const cases = read<{ id: string; function: string; input: unknown; valid: boolean }>('primitives');
    const wrong = cases.filter((each) => (checks[each.function]?.(each.input as never) === undefined) !== each.valid);
    printResult('single values', cases.length - wrong.length, cases.length);
    expect(wrong).toEqual([]);
    expect(cases.length).toBe(45);
    expect([...new Set(cases.map((each) => each.function))].filter((name) => !checks[name])).toEqual([]);
  });
});
