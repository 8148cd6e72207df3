/** A benchmark's figures as a table for people and as JSON with the ratios. */
import type { PeerResult, ScenarioResult } from './measure.ts';
import { AIMS, type Aim, type Figure } from './scenarios.ts';

export interface Verdict {
  readonly scenario: string;
  readonly figure: Figure;
  readonly runtime: string;
  readonly against: string | undefined;
  readonly limit: number;
  /** The ratio, or the figure itself without a peer. */
  readonly value: number;
  readonly met: boolean;
}

/** Every peer's median divided by that of nginx and of Envoy. */
export function ratios(result: ScenarioResult): Record<string, Record<string, number>> {
  const out: Record<string, Record<string, number>> = {};
  for (const against of ['nginx', 'envoy']) {
    const base = result.peers.find((peer) => peer.name === against);
    if (!base || base.median.cpuUs === 0) continue;
    out[against] = Object.fromEntries(
      result.peers.map((peer) => [peer.name, round(peer.median.cpuUs / base.median.cpuUs, 3)]),
    );
  }
  return out;
}

/** What can be judged of the aims by what was measured. */
export function judge(results: readonly ScenarioResult[]): Verdict[] {
  return AIMS.flatMap((aim) => {
    const result = results.find((one) => one.name === aim.scenario);
    return result ? judgeAim(aim, result) : [];
  });
}

function judgeAim(aim: Aim, result: ScenarioResult): Verdict[] {
  const base = aim.against === undefined ? undefined : result.peers.find((peer) => peer.name === aim.against);
  if (aim.against !== undefined && !base) return [];
  return Object.entries(aim.limit).flatMap(([runtime, limit]) => {
    const peer = result.peers.find((one) => one.name === `tulle-${runtime}`);
    if (!peer) return [];
    const value = round(base ? figure(peer, aim.figure) / figure(base, aim.figure) : figure(peer, aim.figure), 3);
    return [{ ...aim, runtime, limit, value, met: value <= limit }];
  });
}

function figure(peer: PeerResult, name: Figure): number {
  return name === 'idleMb' ? peer.idleMb : peer.median[name];
}

export function table(result: ScenarioResult): string {
  const found = ratios(result);
  const idle = result.unit === 'idle connection';
  const titles = idle
    ? ['', 'KB each', 'MB started', 'MB held']
    : [
        '',
        `CPU us/${result.unit}`,
        '/s',
        'p50 us',
        'p99 us',
        'MB started',
        'MB loaded',
        'x nginx',
        'x Envoy',
        'errors',
      ];
  const rows = result.peers.map((peer) => {
    const { median, idleMb, name } = peer;
    if (idle) return [name, median.perConnectionKb.toFixed(1), idleMb.toFixed(0), median.rssMb.toFixed(0)];
    const ratio = (against: string) => found[against]?.[name]?.toFixed(2) ?? '';
    return [
      ...[name, median.cpuUs.toFixed(1), median.perSecond.toFixed(0), median.p50Us.toFixed(0), median.p99Us.toFixed(0)],
      ...[idleMb.toFixed(0), median.rssMb.toFixed(0), ratio('nginx'), ratio('envoy'), String(median.errors)],
    ];
  });
  const lines = [`\n${result.name}: ${result.what}`, ...aligned([titles, ...rows])];
  for (const reason of result.skipped) lines.push(`  not measured: ${reason}`);
  return lines.join('\n');
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((one) => [
    ...[one.scenario, one.figure, one.runtime, one.against ? `x ${one.against}` : ''],
    ...[one.value.toFixed(2), `<= ${round(one.limit, 2)}`, one.met ? 'met' : 'missed'],
  ]);
  return ['\naims', ...aligned([['scenario', 'figure', 'runtime', 'against', 'value', 'aim', ''], ...rows])].join('\n');
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
