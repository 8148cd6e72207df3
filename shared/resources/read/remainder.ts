/**
 * What is left of a faulty body once its faulty fields are out, so that one typing mistake does not hide the rest. What only
 * breaks a rule stays.
 */
import type { z } from 'zod';
import { breaksRule, formatPath } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { Fault } from '../resource.ts';

/** Rules that judge a value by itself: what they find holds whatever stands beside the value. */
const OF_VALUES: ReadonlySet<string> = new Set([
  ...['cel', 'cidr', 'gateway-name', 'labels', 'name', 'percent', 'port', 'port-name', 'protocol', 'regex', 'selector'],
  ...['destination.host', 'destination.subset', 'destinationrule.host', 'destinationrule.subset', 'gateway.host'],
  ...['authorizationpolicy.key', 'authorizationpolicy.path', 'serviceentry.host', 'virtualservice.header'],
  ...['virtualservice.weight', 'http-status'],
]);

export interface Remainder {
  value: unknown;
  /**
   * Findings about a removed field, above or below it, are dropped: they would speak of the removal. So are those of rules
   * that look at its siblings.
   */
  apart: (findings: Findings) => Findings;
}

/** Undefined when a faulty entry of a list would have to go: the paths of the others would shift. */
export function remainder(body: unknown, issues: readonly z.core.$ZodIssue[]): Remainder | undefined {
  const value = structuredClone(body);
  const removed: string[] = [];
  const gone: string[] = [];
  for (const issue of issues) {
    if (breaksRule(issue)) continue;
    const keys = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
    for (const path of keys) {
      if (!remove(value, path)) return undefined;
      gone.push(formatPath(path));
      // A wrong value's siblings may depend on it; a name that means nothing has none that do, the root has too many.
      removed.push(formatPath(issue.code === 'unrecognized_keys' || path.length === 1 ? path : path.slice(0, -1)));
    }
  }
  const apart = (fault: Fault) => {
    const near = OF_VALUES.has(fault.rule) ? gone : removed;
    return !near.some((path) => path.startsWith(fault.path) || fault.path.startsWith(path));
  };
  return {
    value,
    apart: ({ faults, warnings }) => ({ faults: faults.filter(apart), warnings: warnings.filter(apart) }),
  };
}

/** Whether a value has the types a schema asks for, whatever rules it breaks. */
export function hasTypes(schema: z.ZodType, value: unknown): boolean {
  return schema.safeParse(value).error?.issues.every(breaksRule) ?? true;
}

/** Deletes an object's field; false for list entries and absent fields. */
function remove(root: unknown, path: readonly PropertyKey[]): boolean {
  let at = root;
  for (const key of path.slice(0, -1)) at = (at as Record<PropertyKey, unknown> | undefined)?.[key];
  const last = path.at(-1);
  if (typeof at !== 'object' || at === null || Array.isArray(at)) return false;
  if (typeof last !== 'string' || !Object.hasOwn(at, last)) return false;
  return delete (at as Record<string, unknown>)[last];
}
