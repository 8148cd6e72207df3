/** From zod issues to violations, and the collector that semantic checks write into. */
import type { z } from 'zod';
import type { Findings } from './kind.ts';
import type { Violation } from './resource.ts';

/** Most violations reported for one resource. */
export const MAX_VIOLATIONS = 200;

/** `spec.http[0].headers["x-a.b"]` */
export function formatPath(path: readonly PropertyKey[]): string {
  let out = '';
  for (const key of path) {
    if (typeof key === 'number') out += `[${key}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(String(key))) out += out === '' ? String(key) : `.${String(key)}`;
    else out += `[${JSON.stringify(String(key))}]`;
  }
  return out;
}

/** The path of a map's entry, spelled as `formatPath` spells it. */
export function keyPath(path: string, key: string): string {
  const entry = formatPath([key]);
  return entry.startsWith('[') ? `${path}${entry}` : `${path}.${entry}`;
}

export function violationsOf(issues: readonly z.core.$ZodIssue[]): Violation[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const lines = issue.message.split('\n');
      return issue.keys.map((key, i) => ({
        path: formatPath([...issue.path, key]),
        rule: 'unknown-field',
        message: lines[i] ?? 'unknown field',
      }));
    }
    return [{ path: formatPath(issue.path), rule: ruleOf(issue), message: messageOf(issue) }];
  });
}

/** Whether a rule over values of the right types is broken: the value can still be read. */
export function breaksRule(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'custom' && ruleOf(issue) !== 'value';
}

function ruleOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'custom') return typeof issue.params?.['rule'] === 'string' ? issue.params['rule'] : 'value';
  if (issue.code === 'invalid_type' && issue.input === undefined) return 'required';
  if (issue.code === 'invalid_type') return 'type';
  return issue.code === 'invalid_value' ? 'enum' : 'value';
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.input === undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_value')) {
    return 'is required';
  }
  if (issue.code !== 'invalid_type') return `${issue.message}${found(issue)}`;
  const expected: Record<string, string> = {
    record: 'a map',
    object: 'an object',
    array: 'a list',
    int: 'a whole number',
  };
  const article = expected[issue.expected] ?? `a ${issue.expected}`;
  return `must be ${article}, not ${describe(issue.input)}`;
}

/** The value, where it is a number or a word that was to be one of a few or of some form: such values are no secrets. */
function found(issue: z.core.$ZodIssue): string {
  const { code, input } = issue;
  if (!['invalid_value', 'invalid_format', 'too_small', 'too_big', 'not_multiple_of'].includes(code)) return '';
  if (typeof input === 'number') return `; found ${input}`;
  const shown = typeof input === 'string' && input.length <= 64 && code !== 'too_small' && code !== 'too_big';
  return shown ? `; found ${JSON.stringify(input)}` : '';
}

/** The value's type in words; the value itself may be a secret. */
function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** Collects what a semantic check finds. Paths are given as formatted text. */
export class Report {
  readonly violations: Violation[] = [];
  readonly warnings: Violation[] = [];

  violation(path: string, rule: string, message: string): void {
    if (this.violations.length < MAX_VIOLATIONS) this.violations.push({ path, rule, message });
  }

  warn(path: string, rule: string, message: string): void {
    if (this.warnings.length < MAX_VIOLATIONS) this.warnings.push({ path, rule, message });
  }

  /** Adds a violation when there is a message: for helpers that say what is wrong or nothing. */
  violationIf(path: string, rule: string, message: string | undefined): void {
    if (message !== undefined) this.violation(path, rule, message);
  }

  get findings(): Findings {
    return { violations: this.violations, warnings: this.warnings };
  }
}
