/** A systemd unit of an application that starts after the host's sidecar is ready. */
import { PROXY_UNIT } from '../host/layout.ts';
import { InjectError } from './sidecar.ts';

const SIDECAR_UNIT = `${PROXY_UNIT}.service`;
/** Not `Requires=`: a restart of the sidecar would end the application. */
const WAITS = ['After', 'Wants'];

/**
 * @param text a `.service` file; everything in it is kept
 * @returns the text as it is where the unit waits already
 * @throws InjectError where it is no unit of a service
 */
export function injectSystemd(text: string): string {
  const lines = text.split('\n');
  const section = (name: string) => lines.findIndex((line) => line.trim() === `[${name}]`);
  if (section('Service') < 0) throw new InjectError('[Service]: is missing; give the unit file of a service');
  const at = section('Unit');
  const missing = WAITS.filter((key) => !names(lines, key, SIDECAR_UNIT));
  if (missing.length === 0) return text;
  const added = missing.map((key) => `${key}=${SIDECAR_UNIT}`);
  if (at < 0) return ['[Unit]', ...added, '', ...lines].join('\n');
  return lines.toSpliced(endOfSection(lines, at), 0, ...added).join('\n');
}

/** Lines that end in a backslash continue: they are read as one. */
function names(lines: readonly string[], key: string, unit: string): boolean {
  const whole = lines.join('\n').replace(/\\\n/g, ' ').split('\n');
  const line = new RegExp(`^\\s*${key}\\s*=(.*)$`);
  return whole.some((one) => line.exec(one)?.[1]?.trim().split(/\s+/).includes(unit));
}

/** Where a line may be added: after the last that is not blank. */
function endOfSection(lines: readonly string[], start: number): number {
  const next = lines.findIndex((line, i) => i > start && /^\s*\[/.test(line));
  let end = next < 0 ? lines.length : next;
  while (end > start + 1 && lines[end - 1]!.trim() === '') end--;
  return end;
}
