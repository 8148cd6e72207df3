/** Turns capture on and off, and shows it. What it changes: one table (or own chains), a routing rule and table, and ::6 on lo. */
import { randomUUID } from 'node:crypto';
import { type BackEnd, type BackEndName, backEnd } from './back-end.ts';
import { CaptureError, type CaptureOptions } from './capture-options.ts';
import { checkOptions } from './check-options.ts';
import { find } from './commands.ts';
import { type CaptureFinding, captureFindings } from './findings.ts';
import { type Listening, listening } from './listening.ts';
import { addRoutes, hasRoutes, removeRoutes } from './policy-routes.ts';
import { type CaptureRecord, readRecord, removeRecord, type Trial, writeRecord } from './record.ts';

export interface TurnOnSettings {
  /** Default: nft, else iptables. */
  readonly backEnd?: BackEndName;
  /** Seconds after which `rollBack` takes it back, unless `confirm` came first. Default: it stays. */
  readonly trialSeconds?: number;
}

/**
 * Captures what `options` say, in the place of what was captured before. A second run with the same options changes nothing.
 * @returns the id of the trial, where it is one
 * @throws CaptureError naming the field, or what on the host prevents it; what was captured before stays so
 */
export function turnOn(options: CaptureOptions, settings: TurnOnSettings = {}): string | undefined {
  checkOptions(options);
  const [problem] = captureFindings(options).filter(({ severity }) => severity === 'error');
  if (problem) throw new CaptureError(`capture: ${problem.message}; ${problem.remedy}`);
  const before = current();
  const rules = backEnd(settings.backEnd);
  const addedSource = applyAll(rules, options, before);
  if (before && before.backEnd !== rules.name) backEnd(before.backEnd).remove();
  const trial = settings.trialSeconds === undefined ? undefined : trialOf(settings.trialSeconds, before);
  const record = { backEnd: rules.name, options, addedSource, ...(trial ? { trial } : {}) };
  if (!writeRecord(record) && trial) {
    turnOff();
    throw new CaptureError('capture: /run/tulle cannot be written, so that it could not be rolled back; use --yes');
  }
  return trial?.id;
}

/** Takes back what was captured; nothing of it remains. @returns whether anything was captured */
export function turnOff(): boolean {
  const record = readRecord();
  const rules = [...new Set([record?.backEnd, bestName()])].flatMap((name) =>
    name && find(name) ? [backEnd(name)] : [],
  );
  const there = rules.filter((each) => each.present());
  const routed = ([4, 6] as const).filter(hasRoutes);
  for (const each of there) each.remove();
  for (const family of [4, 6] as const) removeRoutes(family, record?.addedSource ?? false);
  removeRecord();
  return there.length > 0 || routed.length > 0;
}

/** Keeps what a trial captures. @throws CaptureError where none waits for it */
export function confirm(): void {
  const record = current();
  if (!record?.trial) throw new CaptureError('capture: nothing waits for a confirmation');
  const { trial: _, ...kept } = record;
  writeRecord(kept);
}

/** Whether a trial waits for its confirmation. */
export const waits = (trialId: string): boolean => readRecord()?.trial?.id === trialId;

/** Ends a trial that was not confirmed: what was captured before it is captured again. @returns false where it was confirmed */
export function rollBack(trialId: string): boolean {
  const trial = readRecord()?.trial;
  if (!trial || trial.id !== trialId) return false;
  if (trial.previous) turnOn(trial.previous.options, { backEnd: trial.previous.backEnd });
  else turnOff();
  return true;
}

export interface CaptureState {
  readonly on: boolean;
  readonly backEnd?: BackEndName;
  /** Absent where the rules are there and their record is not. */
  readonly options?: CaptureOptions;
  readonly trial?: Trial;
  readonly listening: Listening;
  /** Since the rules were applied; nft alone. */
  readonly counters: Readonly<Record<string, number>>;
  readonly findings: readonly CaptureFinding[];
}

/** What is captured now. Needs the rights of turnOn. */
export function show(): CaptureState {
  const record = current();
  const name = record?.backEnd ?? bestName();
  const rules = name && backEnd(name);
  const on = rules?.present() ?? false;
  return {
    on,
    ...(on && rules ? { backEnd: rules.name } : {}),
    ...(on && record ? { options: record.options } : {}),
    ...(on && record?.trial ? { trial: record.trial } : {}),
    listening: listening(record?.options.dnsPort),
    counters: on && rules ? rules.counters() : {},
    findings: [...captureFindings(record?.options), ...(on ? routeFindings(record) : [])],
  };
}

/** Rules without their routes capture nothing: a network service may have removed those. */
function routeFindings(record: CaptureRecord | undefined): CaptureFinding[] {
  const families = record?.options.ipv6 ? ([4, 6] as const) : ([4] as const);
  if (families.every(hasRoutes)) return [];
  const message = 'the routing rule or table of captured packets is missing';
  return [
    {
      severity: 'error',
      message,
      remedy: 'turn capture on again; exempt the rule from networkd (ManageForeignRoutingPolicyRules=no)',
    },
  ];
}

/** The record, where its rules are there still. */
function current(): CaptureRecord | undefined {
  const record = readRecord();
  return record && find(record.backEnd) && backEnd(record.backEnd).present() ? record : undefined;
}

const bestName = (): BackEndName | undefined =>
  find('nft') ? 'nft' : find('iptables-restore') ? 'iptables' : undefined;

/** @returns whether ::6 is ours to remove */
function applyAll(rules: BackEnd, options: CaptureOptions, before: CaptureRecord | undefined): boolean {
  let addedSource = before?.addedSource ?? false;
  try {
    for (const family of [4, 6] as const)
      if (family === 4 || options.ipv6) addedSource = addRoutes(family) || addedSource;
    rules.apply(options);
  } catch (error) {
    if (!before) for (const family of [4, 6] as const) removeRoutes(family, addedSource);
    throw error;
  }
  if (options.ipv6) return addedSource;
  removeRoutes(6, addedSource);
  return false;
}

const trialOf = (seconds: number, before: CaptureRecord | undefined): Trial => ({
  id: randomUUID(),
  until: new Date(Date.now() + seconds * 1000).toISOString(),
  // A trial over a trial ends in what was before both.
  ...previousOf(before),
});

function previousOf(before: CaptureRecord | undefined): Pick<Trial, 'previous'> {
  if (!before) return {};
  if (before.trial) return before.trial.previous ? { previous: before.trial.previous } : {};
  return { previous: { backEnd: before.backEnd, options: before.options } };
}
