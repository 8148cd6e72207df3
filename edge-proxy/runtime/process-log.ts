/** The log of a proxy process and of its workers, on standard error. */
import process from 'node:process';
import { DEFAULT_LOG, LOG_FORMATS, LOG_LEVELS, type Log, type LogSettings, lineLog } from '../../shared/log/log.ts';

const FORMAT = 'TULLE_LOG_FORMAT';
const LEVEL = 'TULLE_LOG_LEVEL';

let settings = inherited();

/** Environment variables that give a worker process the settings of this one. */
export function logVariables(): Record<string, string> {
  return { [FORMAT]: settings.format, [LEVEL]: settings.level };
}

/** What a parent gave this process; invalid values are reported with the flags, which have the same names. */
function inherited(): LogSettings {
  const { [FORMAT]: format, [LEVEL]: level } = process.env;
  return {
    format: LOG_FORMATS.find((one) => one === format) ?? DEFAULT_LOG.format,
    level: LOG_LEVELS.find((one) => one === level) ?? DEFAULT_LOG.level,
  };
}

/** @param write takes one line for standard error */
export function processLog(write: (line: string) => void): { log: Log; configureLog(to: LogSettings): void } {
  const make = () => lineLog({ ...settings, scope: 'tulle', write, now: () => Date.now() });
  let current = make();
  return {
    log: (...event) => current(...event),
    configureLog(to) {
      settings = to;
      current = make();
    },
  };
}
