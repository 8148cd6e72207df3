/**
 * Labels that an invitation or a proxy adds to those of a WorkloadGroup. Policies and services select workloads by labels: a
 * machine that could choose them would choose which policies apply to it and whose requests it receives. istiod lets the node's
 * labels replace those of the group; here the group's labels hold, then those of the invitation, and a machine adds only names
 * for telemetry.
 */

import { labelKeyViolation, labelValueViolation } from '../../shared/match/labels.ts';

type Labels = Readonly<Record<string, string>>;

export interface LabelViolation {
  readonly key: string;
  readonly reason: string;
}

/** Prefixes by which Istio and Kubernetes give workloads properties that only an administrator may decide. */
const RESERVED = /^([a-z0-9-]+\.)*(istio\.io|kubernetes\.io|k8s\.io)\//;
/** Of these prefixes, what only describes a workload. */
const DESCRIBING = /^(service\.istio\.io\/canonical-(name|revision)|app\.kubernetes\.io\/[^/]+)$/;
/** What a machine may say of itself. Not app.kubernetes.io/name and version: selectors of Services use them. */
const OWN = /^service\.istio\.io\/canonical-(name|revision)$/;
/** Characters of a key that a message shows. */
const MAX_SHOWN = 100;

/** @returns why an invitation may not add `key=value` to `held`; undefined: it may, or is there already */
export function addedLabelViolation(held: Labels, key: string, value: string): string | undefined {
  if (Object.hasOwn(held, key)) return replacedViolation(held[key]!, value);
  if (isMalformed(key, value)) return 'is not of the form of a label';
  if (RESERVED.test(key) && !DESCRIBING.test(key)) return 'is reserved: only a WorkloadGroup may give it';
  return undefined;
}

/** @returns why a machine may not add `key=value` to `held`, which its group and invitation give; undefined: as above */
export function machineLabelViolation(held: Labels, key: string, value: string): string | undefined {
  if (Object.hasOwn(held, key)) return replacedViolation(held[key]!, value);
  if (isMalformed(key, value)) return 'is not of the form of a label';
  return OWN.test(key) ? undefined : 'is neither of the WorkloadGroup nor of the invitation: add it there';
}

function replacedViolation(held: string, value: string): string | undefined {
  return held === value ? undefined : `must not replace "${held}", which the WorkloadGroup or invitation gives`;
}

const isMalformed = (key: string, value: string): boolean =>
  (labelKeyViolation(key) ?? labelValueViolation(value)) !== undefined;

/** For a message: a key that a machine chose may be long. */
export const quotedKey = (key: string): string => JSON.stringify(key.slice(0, MAX_SHOWN));

/** `held`, and of `added` what may be added by `violation`. */
export function withAddedLabels(
  held: Labels,
  added: Labels,
  violation: typeof addedLabelViolation,
): { labels: Labels; refused: readonly LabelViolation[] } {
  const labels = { ...held };
  const refused: LabelViolation[] = [];
  for (const [key, value] of Object.entries(added)) {
    const reason = violation(held, key, value);
    if (reason === undefined) labels[key] = value;
    else refused.push({ key, reason });
  }
  return { labels, refused };
}
