/** JoinPolicies in a control plane: followed in the mesh, judged by, and reported on. */

import { type Key, parseKeySet } from '../../../shared/jwt/key-set.ts';
import type { Log } from '../../../shared/log/log.ts';
import { type Finding, findingText } from '../../compile/output/finding.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import { type KeySetText, type KeySource, sourceId } from '../../mesh/key-sets.ts';
import type { MeshChange, MeshView } from '../../mesh/view.ts';
import { templateOf } from '../../workloads/group-template.ts';
import type { Judges } from '../join-evidence.ts';
import { type JoinPolicy, type JoinRules, rulesOf } from './join-rules.ts';
import { policyFindings } from './policy-findings.ts';
import { policyJudges } from './policy-judges.ts';
import type { UsedEvidence } from './used-evidence.ts';

export interface JoinPoliciesOptions {
  /** What was used up; its owner closes it. */
  readonly used: UsedEvidence;
  readonly mesh: {
    current(): MeshView;
    onChange(listener: (view: MeshView, change: MeshChange) => void): () => void;
  };
  readonly status: { report(reporter: string, findings: readonly Finding[]): void };
  readonly log: Log;
  readonly now?: () => number;
}

export interface JoinPolicies {
  readonly judges: Required<Omit<Judges, 'token'>>;
  close(): void;
}

export function openJoinPolicies(options: JoinPoliciesOptions): JoinPolicies {
  const { used, mesh, log, now = Date.now } = options;
  const judges = policyJudges({
    rules: rulesIn(() => mesh.current()),
    keys: keysIn(() => mesh.current()),
    accountOf: (namespace, group) => accountIn(mesh.current(), namespace, group),
    used,
    now,
    log,
  });
  const stop = reportFindings(options);
  return {
    judges,
    close: stop,
  };
}

/** Compiled again only when a policy, or which namespace is the root, changed. */
function rulesIn(view: () => MeshView): () => JoinRules {
  let policies: readonly JoinPolicy[] | undefined;
  let root = '';
  let rules: JoinRules;
  return () => {
    const { settings } = view();
    const now = view().resources('JoinPolicy');
    if (now !== policies || settings.rootNamespace !== root) {
      [policies, root] = [now, settings.rootNamespace];
      rules = rulesOf(policies, root);
    }
    return rules;
  };
}

function keysIn(view: () => MeshView): (source: KeySource) => readonly Key[] | undefined {
  const parsed = new WeakMap<KeySetText, readonly Key[]>();
  return (source) => {
    const set = view().keySets.get(sourceId(source));
    if (!set) return undefined;
    let keys = parsed.get(set);
    if (!keys) parsed.set(set, (keys = parseKeySet(set.text)));
    return keys;
  };
}

function accountIn(view: MeshView, namespace: string, name: string): string | undefined {
  const group = view
    .resources('WorkloadGroup')
    .find((one) => one.metadata.name === name && namespaceOf(one) === namespace);
  return group && templateOf(group).serviceAccount;
}

const REPORTER = 'join policies';
const CONCERNED = ['JoinPolicy', 'WorkloadGroup'] as const;

/** @returns what ends it */
function reportFindings({ mesh, status, log }: JoinPoliciesOptions): () => void {
  let logged: ReadonlySet<string> = new Set();
  const report = (view: MeshView) => {
    const { rootNamespace } = view.settings;
    const findings = policyFindings(view.resources('JoinPolicy'), rootNamespace, (namespace, group) =>
      accountIn(view, namespace, group),
    );
    const lines = new Set(findings.map(findingText));
    for (const line of lines) if (!logged.has(line)) log(line, 'warn');
    logged = lines;
    status.report(REPORTER, findings);
  };
  report(mesh.current());
  return mesh.onChange((view, { resources, settings }) => {
    if (settings || CONCERNED.some((kind) => resources.has(kind))) report(view);
  });
}
