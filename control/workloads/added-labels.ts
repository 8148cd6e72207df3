/**
 * Labels that an invitation or a proxy adds to those of a WorkloadGroup. Policies and services select workloads by labels: a
 * machine that could choose them would choose which policies apply to it and whose requests it receives. istiod lets the node's
 * labels replace those of the group; here the group's labels hold, then those of the invitation, and a machine may add others.
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

/** @returns why `key=value` may not be added to `held`; undefined: it may, or is there already */
export function addedLabelViolation(held: Labels, key: string, value: string): string | undefined {
  if (Object.hasOwn(held, key))
    return held[key] === value
      ? undefined
      : `must not replace "${held[key]}", which the WorkloadGroup or invitation gives`;
  if ((labelKeyViolation(key) ?? labelValueViolation(value)) !== undefined) return 'is not of the form of a label';
  if (RESERVED.test(key) && !DESCRIBING.test(key)) return 'is reserved: only a WorkloadGroup may give it';
  return undefined;
}

/** `held`, and of `added` what may be added. */
export function withAddedLabels(held: Labels, added: Labels): { labels: Labels; refused: readonly LabelViolation[] } {
  const labels = { ...held };
  const refused: LabelViolation[] = [];
  for (const [key, value] of Object.entries(added)) {
    const reason = addedLabelViolation(held, key, value);
    if (reason === undefined) labels[key] = value;
    else refused.push({ key, reason });
  }
  return { labels, refused };
}
