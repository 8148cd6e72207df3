import { expect, it } from 'vitest';
import { Cancellation, type CancelSignal } from './cancellation.ts';

const unexpected = (error: unknown) => {
  throw error;
};

/** What both kinds of signal do. */
const signals: [string, () => { signal: CancelSignal; abort: () => void }][] = [
  [
    'Cancellation',
    () => {
      const signal = new Cancellation();
      return { signal, abort: () => signal.abort(unexpected) };
    },
  ],
  [
    'AbortSignal',
    () => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort() };
    },
  ],
];

it.each(signals)('%s calls each listener once, and none that was removed or came too late', (_, make) => {
  const { signal, abort } = make();
  const heard: string[] = [];
  const twice = () => void heard.push(`twice ${signal.aborted}`);
  const removed = () => void heard.push('removed');
  signal.addEventListener('abort', twice);
  signal.addEventListener('abort', twice);
  signal.addEventListener('abort', removed);
  signal.addEventListener('abort', { handleEvent: () => void heard.push('object') });
  signal.removeEventListener('abort', removed);
  expect(signal.aborted).toBe(false);
  abort();
  signal.addEventListener('abort', () => void heard.push('late'));
  abort();
  expect(heard).toEqual(['twice true', 'object']);
});

it('what a listener throws is reported, and the others are called', () => {
  const signal = new Cancellation();
  const failures: unknown[] = [];
  const heard: string[] = [];
  signal.addEventListener('abort', () => {
    throw new Error('no');
  });
  signal.addEventListener('abort', () => void heard.push('second'));
  signal.abort((error) => failures.push(error));
  expect([heard, failures]).toEqual([['second'], [new Error('no')]]);
});
