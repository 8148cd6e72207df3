/** Validation of one resource: every violation at once, each with its path. */
import type { z } from 'zod';
import type { Findings, Kind } from '../kind.ts';
import { checkMeta, Metadata } from '../meta.ts';
import { kindByName, kindOf, kinds, splitApiVersion } from '../registry.ts';
import type { Resource, Violation } from '../resource.ts';
import { formatPath, MAX_VIOLATIONS, violationsOf } from '../violations.ts';
import { withoutNulls } from './nulls.ts';
import { hasTypes, remainder } from './remainder.ts';
import { didYouMean } from './suggest.ts';

export interface Validation {
  /** Present when there are no violations. */
  resource?: Resource;
  /** Present when apiVersion and kind name one that is served. */
  kind?: Kind;
  violations: Violation[];
  warnings: Violation[];
}

const HEADER = ['apiVersion', 'kind', 'metadata'];
/** Deeper JSON is refused before anything walks it by recursion. */
const MAX_DEPTH = 100;

/** Validates any JSON value as a resource. Never throws. */
export function validate(value: unknown): Validation {
  if (!isObject(value)) return { violations: [refusal('', 'type', 'must be an object')], warnings: [] };
  if (tooDeep(value))
    return { violations: [refusal('', 'depth', `is nested deeper than ${MAX_DEPTH} levels`)], warnings: [] };
  const poisoned = prototypeFields(value);
  if (poisoned.length > 0) return { violations: poisoned, warnings: [] };
  const kind = lookUp(value);
  if (Array.isArray(kind))
    return { violations: [...kind, ...metadataViolations(value, { namespaced: true })], warnings: [] };
  const violations = metadataViolations(value, kind);
  const warnings = upperCaseNames(kind, value, violations);
  const body = withoutNulls(
    kind.body,
    Object.fromEntries(Object.entries(value).filter(([key]) => !HEADER.includes(key))),
  );
  const parsed = kind.body.safeParse(body, { reportInput: true });
  const resource = {
    ...pick(value, HEADER),
    ...(parsed.success ? (parsed.data as object) : {}),
  } as unknown as Resource;
  resource.metadata = soundMetadata(withoutNulls(Metadata, value['metadata']));
  const findings = parsed.success ? kind.check(resource) : checkRemainder(kind, resource, body, parsed.error.issues);
  const broken = parsed.success ? [] : violationsOf(parsed.error.issues);
  const reported = [...violations, ...broken];
  violations.push(...broken, ...findings.violations.filter((violation) => !isReported(violation, reported)));
  const all = violations.slice(0, MAX_VIOLATIONS);
  warnings.push(...findings.warnings);
  return { ...(all.length === 0 ? { resource } : {}), kind, violations: all, warnings };
}

function lookUp(value: Record<string, unknown>): Kind | Violation[] {
  const { apiVersion, kind: name } = value;
  const violations: Violation[] = [];
  for (const field of ['apiVersion', 'kind'] as const) {
    if (typeof value[field] !== 'string' || value[field] === '') {
      const missing = value[field] === undefined || value[field] === '';
      violations.push(refusal(field, missing ? 'required' : 'type', missing ? 'is required' : 'must be a string'));
    }
  }
  if (typeof apiVersion !== 'string' || typeof name !== 'string' || violations.length > 0) return violations;
  const kind = kindOf(apiVersion, name);
  if (kind) return kind;
  const { group } = splitApiVersion(apiVersion);
  const other = kindByName(group, name);
  if (other) {
    const served = other.versions.map((version) => (group === '' ? version : `${group}/${version}`));
    return [refusal('apiVersion', 'version', `${name} is not served as "${apiVersion}": use ${served.join(', ')}`)];
  }
  const names = kinds.map((each) => each.kind);
  const same = kinds.find((each) => each.kind === name);
  const hint = same ? `; ${name} belongs to "${same.group}/${same.versions[0]}"` : didYouMean(name, names);
  return [refusal('kind', 'unknown-kind', `unknown kind "${name}" in "${apiVersion}"${hint}`)];
}

function metadataViolations(value: Record<string, unknown>, kind: Pick<Kind, 'namespaced' | 'names'>): Violation[] {
  if (value['metadata'] === undefined) return [refusal('metadata', 'required', 'is required')];
  const parsed = Metadata.safeParse(withoutNulls(Metadata, value['metadata']), { reportInput: true });
  if (parsed.success) return checkMeta(parsed.data, kind);
  return violationsOf(parsed.error.issues).map((violation) => ({
    ...violation,
    path: violation.path === '' ? 'metadata' : `metadata${violation.path.startsWith('[') ? '' : '.'}${violation.path}`,
  }));
}

/** Reports a rule that schema and checks share once. The spec as a whole has many rules: there the rule names must be equal. */
function isReported(violation: Violation, reported: readonly Violation[]): boolean {
  return reported.some(({ path, rule }) => path === violation.path && (rule === violation.rule || path !== 'spec'));
}

/**
 * Takes from `violations` that a name of an Istio kind has upper case letters, and returns it as a warning: Kubernetes refuses such
 * a name, Istio's file sources do not.
 */
function upperCaseNames(kind: Kind, value: Record<string, unknown>, violations: Violation[]): Violation[] {
  const { metadata } = value as { metadata?: { name?: unknown } };
  const name = metadata?.name;
  const at = violations.findIndex((violation) => violation.rule === 'metadata.name');
  if (at < 0 || typeof name !== 'string' || !kind.group.endsWith('.istio.io')) return [];
  if (checkMeta({ name: name.toLowerCase() }, { namespaced: true }).length > 0) return [];
  violations.splice(at, 1);
  return [refusal('metadata.name', 'metadata.name', `"${name}" has upper case letters, which Kubernetes refuses`)];
}

/** The semantic checks for what the schema accepts once its invalid fields are taken out. */
function checkRemainder(kind: Kind, resource: Resource, body: unknown, issues: readonly z.core.$ZodIssue[]): Findings {
  const none = { violations: [], warnings: [] };
  const rest = remainder(body, issues);
  if (!rest || !hasTypes(kind.body, rest.value)) return none;
  return rest.apart(kind.check({ ...resource, ...(rest.value as object) }));
}

function pick(value: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, value[key]]));
}

function tooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []));
    if (level.length === 0) return false;
  }
  return true;
}

/** For the checks, which may rely on types: fields that are none of their type have their violations already. */
function soundMetadata(metadata: unknown): Resource['metadata'] {
  const fields = isObject(metadata) ? Object.entries(metadata) : [];
  const shape: Record<string, z.ZodType> = Metadata.shape;
  const sound = fields.filter(([name, field]) => Object.hasOwn(shape, name) && shape[name]?.safeParse(field).success);
  return Object.fromEntries(sound) as unknown as Resource['metadata'];
}

/** Such a field is never intended, and copying it by assignment changes the copy's prototype. */
function prototypeFields(value: unknown, path: PropertyKey[] = []): Violation[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, field]) => {
    const inner = [...path, Array.isArray(value) ? Number(key) : key];
    if (key === '__proto__')
      return [refusal(formatPath(inner), 'unknown-field', 'a field may not be called __proto__')];
    return typeof field === 'object' ? prototypeFields(field, inner) : [];
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refusal(path: string, rule: string, message: string): Violation {
  return { path, rule, message };
}
