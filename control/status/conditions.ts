/**
 * Conditions in the form of Istio's `meta.v1alpha1.IstioStatus`: `status.conditions[]` with type, status, reason, message,
 * observedGeneration and lastTransitionTime. A resource of which nothing was ever found has none.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import { FINDING_REASONS, type Finding, type FindingReason } from '../compile/output/finding.ts';
import { fields, isFields, objects } from '../mesh/fields.ts';
import { sameJson } from '../store/stamp.ts';
import { EFFECTIVE, type Effect, effectCondition } from './effect.ts';

/**
 * - `Reconciled`: every rule and patch is in force as written.
 * - `FullyInEffect`: no field is without effect.
 */
export const CONDITION_TYPES = ['Reconciled', 'FullyInEffect'] as const;
export type ConditionType = (typeof CONDITION_TYPES)[number];

const TYPE_OF: { readonly [R in FindingReason]: ConditionType } = {
  RuleNotTranslated: 'Reconciled',
  PolicyFailsClosed: 'Reconciled',
  RuleWithoutEffect: 'Reconciled',
  EndpointUnreachable: 'Reconciled',
  PatchLeftOut: 'Reconciled',
  FilterMissing: 'Reconciled',
  KeysNotAvailable: 'Reconciled',
  FieldWithoutEffect: 'FullyInEffect',
};

/** What conditions say when nothing is found (any more). */
const RESOLVED: { readonly [T in ConditionType]: { readonly reason: string; readonly message: string } } = {
  Reconciled: { reason: 'Reconciled', message: 'every rule is in force' },
  FullyInEffect: { reason: 'InEffect', message: 'no field is without effect' },
};

/** A condition that says in which state something is, whatever was found. */
export interface StateCondition {
  /** None of `CONDITION_TYPES`. */
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** Longest message of a condition; further findings are counted. */
const MAX_MESSAGE = 2048;

/** Whether the status has a condition of the type that is not `True`. */
export function isViolated(resource: Resource, type: ConditionType): boolean {
  return conditionsOf(resource).some((condition) => condition['type'] === type && condition['status'] !== 'True');
}

/**
 * The status that a stored resource should have: conditions of other writers, and all other fields, stay as they are.
 * @param keep a type whose condition stays as it is unless something was found
 * @param state a condition to set besides
 * @returns undefined when the stored one says it already
 */
export function nextStatus(
  stored: Resource,
  findings: readonly Finding[],
  {
    now,
    keep,
    state,
    effect,
  }: {
    now: Date;
    keep?: ConditionType | undefined;
    state?: StateCondition | undefined;
    effect?: Effect | undefined;
  },
): Record<string, unknown> | undefined {
  let conditions: readonly Record<string, unknown>[] = conditionsOf(stored);
  const { generation = 1 } = stored.metadata;
  for (const type of CONDITION_TYPES) {
    const own = findings.filter(({ reason }) => TYPE_OF[reason] === type);
    const isThere = conditions.some((condition) => condition['type'] === type);
    if (own.length === 0 && (!isThere || keep === type)) continue;
    conditions = withCondition(conditions, conditionOf(type, own, generation), now);
  }
  if (state) {
    const next = { ...state, message: state.message.slice(0, MAX_MESSAGE), observedGeneration: generation };
    conditions = withCondition(conditions, next, now);
  }
  if (effect) conditions = withCondition(conditions, effectCondition(effect), now);
  const status = { ...fields(stored.status), conditions };
  return conditions.length === 0 || sameJson(status, stored.status) ? undefined : status;
}

/** With `next` in the place of the condition of its type, or behind the others. */
function withCondition(
  conditions: readonly Record<string, unknown>[],
  next: ConditionChange,
  now: Date,
): readonly Record<string, unknown>[] {
  const before = conditions.find((condition) => condition['type'] === next.type);
  const since = before?.['status'] === next.status ? before['lastTransitionTime'] : timestamp(now);
  const condition = { ...next, lastTransitionTime: since };
  return before ? conditions.map((other) => (other === before ? condition : other)) : [...conditions, condition];
}

/** A condition as it is written. */
export interface ConditionChange {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Conditions of this writer that say something else in `status` than in the stored one: another status, or another reason why not. */
export function changedConditions(stored: Resource, status: Record<string, unknown>): readonly ConditionChange[] {
  const before = new Map(conditionsOf(stored).map((condition) => [condition['type'], condition]));
  const own = (objects(status['conditions']) as unknown as readonly ConditionChange[]).filter(({ type }) =>
    [...CONDITION_TYPES, EFFECTIVE].some((known) => known === type),
  );
  return own.filter((now) => {
    const was = before.get(now.type);
    // What is not known yet is no news.
    if (now.status === 'Unknown' || (was?.['status'] === 'Unknown' && now.status === 'True')) return false;
    if (was?.['status'] !== now.status) return was !== undefined || now.status !== 'True';
    return now.status !== 'True' && (was['message'] !== now.message || was['reason'] !== now.reason);
  });
}

function conditionOf(type: ConditionType, findings: readonly Finding[], generation: number) {
  if (findings.length === 0) return { type, status: 'True', ...RESOLVED[type], observedGeneration: generation };
  const reasons = FINDING_REASONS.filter((reason) => findings.some((finding) => finding.reason === reason));
  const generations = findings.map(({ about }) => about.metadata.generation ?? 1);
  const observedGeneration = Math.max(...generations);
  return { type, status: 'False', reason: reasons[0]!, message: messageOf(findings), observedGeneration };
}

/** In an order that does not depend on which proxy was compiled first: the same findings are the same message. */
function messageOf(findings: readonly Finding[]): string {
  const messages = [...new Set(findings.map(({ message }) => message))].sort();
  let text = '';
  for (const [i, message] of messages.entries()) {
    const next = i === 0 ? message.slice(0, MAX_MESSAGE) : `${text}; ${message}`;
    if (next.length > MAX_MESSAGE) return `${text}; and ${messages.length - i} more`;
    text = next;
  }
  return text;
}

export function conditionsOf({ status }: Resource): Record<string, unknown>[] {
  return isFields(status) ? objects(status['conditions']) : [];
}

/** RFC 3339 with seconds, as Kubernetes writes it. */
function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
