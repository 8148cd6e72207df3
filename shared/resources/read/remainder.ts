/**
 * What is left of an invalid body once its invalid fields are out, so that one typing mistake does not hide the rest. What only
 * breaks a rule stays.
 */
import type { z } from 'zod';
import type { Findings } from '../kind.ts';
import type { Violation } from '../resource.ts';
import { breaksRule, formatPath } from '../violations.ts';

/** Rules of a single value: their findings do not depend on other fields. */
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

/** Undefined when an invalid entry of a list would have to go: the paths of the others would shift. */
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
  const apart = (violation: Violation) => {
    const near = OF_VALUES.has(violation.rule) ? gone : removed;
    return !near.some((path) => path.startsWith(violation.path) || violation.path.startsWith(path));
  };
  return {
    value,
    apart: ({ violations, warnings }) => ({ violations: violations.filter(apart), warnings: warnings.filter(apart) }),
  };
}

/** Whether a value has the types of a schema, even if it breaks rules. */
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
