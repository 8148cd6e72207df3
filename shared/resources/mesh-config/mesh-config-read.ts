/** MeshConfig and MeshNetworks from their YAML text to judged values, as istiod reads them. */
import type { z } from 'zod';
import { checkMeshConfig, checkMeshNetworks, invalidProviders } from '../checks/mesh/mesh-config.ts';
import { checkMeshProxyConfig } from '../checks/mesh/mesh-proxy-config.ts';
import { type Effects, withoutEffect } from '../effects/effects.ts';
import { MESH_CONFIG_EFFECTS, MESH_NETWORKS_EFFECTS } from '../effects/mesh-config.ts';
import { PROXY_CONFIG_EFFECTS } from '../effects/proxy-config.ts';
import type { Findings } from '../kind.ts';
import { parseDocuments } from '../read/parse.ts';
import { canonicalMessage } from '../read/proto-message.ts';
import { hasTypes, remainder } from '../read/remainder.ts';
import type { Violation } from '../resource.ts';
import { MAX_VIOLATIONS, Report, violationsOf } from '../violations.ts';
import { MeshConfig } from './mesh-config.ts';
import { DEFAULT_MESH_CONFIG, DEFAULT_PROXY_CONFIG, overMeshConfig, overProxyConfig } from './mesh-config-defaults.ts';
import { MeshProxyConfig } from './mesh-config-proxy.ts';
import { MeshNetworks } from './mesh-networks.ts';

export interface Reading<Value> {
  /** Absent when there are violations. */
  value?: Value;
  /** Paths are within the text's document: `defaultConfig.proxyAdminPort`. */
  violations: Violation[];
  /** Also unknown fields, which istiod ignores so that a newer configuration can be read, and fields without effect. */
  warnings: Violation[];
}

/** Reads a whole MeshConfig: the text laid over Istio's defaults, without the providers that cannot be used. Never throws. */
export function readMeshConfig(text: string): Reading<MeshConfig> {
  const own: Reading<MeshConfig> = read(text, MeshConfig, (value) => checkMeshConfig(overMeshConfig(value)));
  const reading = namingEffects(own, MESH_CONFIG_EFFECTS, DEFAULT_MESH_CONFIG);
  if (!reading.value) return reading;
  const config = overMeshConfig(reading.value);
  const invalid = new Set(invalidProviders(config).map(({ index }) => index));
  const extensionProviders = config.extensionProviders?.filter((_, i) => !invalid.has(i)) ?? [];
  return { ...reading, value: { ...config, extensionProviders } };
}

/** Reads MeshNetworks. Never throws. */
export function readMeshNetworks(text: string): Reading<MeshNetworks> {
  const own: Reading<MeshNetworks> = read(text, MeshNetworks, checkMeshNetworks);
  return namingEffects(own, MESH_NETWORKS_EFFECTS);
}

/** Reads the text of annotation `proxy.istio.io/config`, judged as it is over Istio's defaults. Never throws. */
export function readProxyConfig(text: string): Reading<MeshProxyConfig> {
  const reading: Reading<MeshProxyConfig> = read(text, MeshProxyConfig, (own) => {
    const report = new Report();
    checkMeshProxyConfig(report, '', overProxyConfig(own, DEFAULT_PROXY_CONFIG));
    const { violations, warnings } = report.findings;
    const within = (violation: Violation): Violation => ({ ...violation, path: violation.path.replace(/^\./, '') });
    return { violations: violations.map(within), warnings: warnings.map(within) };
  });
  return namingEffects(reading, PROXY_CONFIG_EFFECTS, DEFAULT_PROXY_CONFIG);
}

/** With a warning for each field that the text sets and that has no effect. */
function namingEffects<Value extends object>(
  reading: Reading<Value>,
  effects: Effects,
  defaults?: Value,
): Reading<Value> {
  if (!reading.value) return reading;
  const found = withoutEffect(reading.value, effects, defaults).map((each) => ({ ...each, rule: 'no-effect' }));
  return { ...reading, warnings: [...reading.warnings, ...found].slice(0, MAX_VIOLATIONS) };
}

function read<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  check: (value: z.infer<Schema>) => Findings,
): Reading<z.infer<Schema>> {
  const { documents, errors } = parseDocuments(text);
  if (errors.length > 0) {
    return {
      violations: errors.map(({ path, rule, message, line }) => ({ path, rule, message: `line ${line}: ${message}` })),
      warnings: [],
    };
  }
  if (documents.length > 1) {
    return { violations: [{ path: '', rule: 'yaml', message: 'must be one YAML document' }], warnings: [] };
  }
  const unknown: Violation[] = [];
  const body = canonicalMessage(schema, documents[0]?.value ?? {}, (violation) => unknown.push(violation));
  const parsed = schema.safeParse(body, { reportInput: true });
  const findings = parsed.success ? check(parsed.data) : checkRest(schema, body, parsed.error.issues, check);
  const violations = [...(parsed.success ? [] : violationsOf(parsed.error.issues)), ...findings.violations].slice(
    0,
    MAX_VIOLATIONS,
  );
  const warnings = [...unknown, ...findings.warnings].slice(0, MAX_VIOLATIONS);
  return parsed.success && violations.length === 0
    ? { value: parsed.data, violations, warnings }
    : { violations, warnings };
}

function checkRest<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
  issues: readonly z.core.$ZodIssue[],
  check: (value: z.infer<Schema>) => Findings,
): Findings {
  const rest = remainder(body, issues);
  if (!rest || !hasTypes(schema, rest.value)) return { violations: [], warnings: [] };
  return rest.apart(check(rest.value as z.infer<Schema>));
}
