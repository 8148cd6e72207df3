/** The demo's output: a live screen on a terminal, a plain transcript elsewhere. */
import { colour } from '../../control/cli/output.ts';

export interface Live {
  title: string;
  total: number;
  failed: number;
  shares: ReadonlyMap<string, number>;
}

export interface Screen {
  step(title: string): void;
  say(line: string): void;
  check(ok: boolean, line: string): void;
  close(): void;
}

/** A line per event; good for logs and pipes. */
export function transcript(): Screen {
  const write = (line: string) => void process.stdout.write(`${line}\n`);
  return {
    step: (title) => write(`\n${colour.bold(title)}`),
    say: (line) => write(`  ${line}`),
    check: (ok, line) => write(`  ${ok ? colour.green('ok') : colour.red('FAILED')}  ${line}`),
    close: () => {},
  };
}

const REDRAW_MS = 150;
const EVENTS_SHOWN = 14;
const BAR = 40;

/** Redraws counted traffic on top, what happened below. `read` gives the figures of the moment. */
export function liveScreen(read: () => Live): Screen {
  const events: string[] = [];
  const draw = () => {
    const { total, failed, shares } = read();
    const sum = [...shares.values()].reduce((a, b) => a + b, 0) || 1;
    const bars = [...shares].sort().map(([version, count]) => {
      const part = count / sum;
      return `  ${version.padEnd(4)}${colour.cyan('█'.repeat(Math.round(part * BAR)).padEnd(BAR, '·'))} ${(part * 100).toFixed(1).padStart(5)} %  ${count}`;
    });
    const lines = [
      colour.bold('Tulle · the walking mesh') + colour.dim('   Ctrl-C ends it and removes everything'),
      '',
      `  requests ${total}   failed ${failed === 0 ? colour.green('0') : colour.red(String(failed))}`,
      ...bars,
      '',
      ...events.slice(-EVENTS_SHOWN),
    ];
    process.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\n')}\u001b[J`);
  };
  process.stdout.write('\u001b[?1049h\u001b[?25l');
  draw();
  const timer = setInterval(draw, REDRAW_MS);
  let closed = false;
  return {
    step: (title) => void events.push('', colour.bold(title)),
    say: (line) => void events.push(`  ${line}`),
    check: (ok, line) => void events.push(`  ${ok ? colour.green('✓') : colour.red('✗')} ${line}`),
    close: () => {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      process.stdout.write('\u001b[?25h\u001b[?1049l');
      process.stdout.write(`${events.join('\n')}\n`);
    },
  };
}
