/** A unified diff of texts, line by line. */

type Change = { mark: ' ' | '-' | '+'; line: string };

/** Lines around a change that are shown. */
const CONTEXT = 3;
/** Above so many different lines the middle is shown as replaced whole: the table of the comparison stays small. */
const MAX_COMPARED = 2000;

/** @returns hunks as `diff -u` prints them, without file names; '' where the texts are the same */
export function lineDiff(before: string, after: string): string {
  const changes = changesOf(lines(before), lines(after));
  const shown = changes.map((_, at) => nearChange(changes, at));
  const out: string[] = [];
  let [left, right] = [1, 1];
  changes.forEach((change, at) => {
    if (shown[at] && !shown[at - 1]) out.push(head(changes, shown, at, { left, right }));
    if (shown[at]) out.push(`${change.mark}${change.line}`);
    if (change.mark !== '+') left++;
    if (change.mark !== '-') right++;
  });
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}

const lines = (text: string) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

function nearChange(changes: readonly Change[], at: number): boolean {
  return changes.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ mark }) => mark !== ' ');
}

function head(
  changes: readonly Change[],
  shown: readonly boolean[],
  from: number,
  { left, right }: { left: number; right: number },
): string {
  let end = from;
  while (shown[end]) end++;
  const hunk = changes.slice(from, end);
  const count = (mark: '-' | '+') => hunk.filter((change) => change.mark === ' ' || change.mark === mark).length;
  const place = (start: number, size: number) => `${size === 0 ? start - 1 : start},${size}`;
  return `@@ -${place(left, count('-'))} +${place(right, count('+'))} @@`;
}

function changesOf(before: readonly string[], after: readonly string[]): Change[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < Math.min(before.length, after.length) - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const same = (all: readonly string[]): Change[] => all.map((line) => ({ mark: ' ', line }));
  const middle = compared(before.slice(start, before.length - end), after.slice(start, after.length - end));
  return [...same(before.slice(0, start)), ...middle, ...same(before.slice(before.length - end))];
}

/** By the longest common subsequence. */
function compared(before: readonly string[], after: readonly string[]): Change[] {
  const removed = (line: string): Change => ({ mark: '-', line });
  const added = (line: string): Change => ({ mark: '+', line });
  if (before.length > MAX_COMPARED || after.length > MAX_COMPARED) return [...before.map(removed), ...after.map(added)];
  const width = after.length + 1;
  /** At [left, right]: length of what is common behind both. */
  const common = new Uint16Array((before.length + 1) * width);
  const at = (left: number, right: number) => common[left * width + right]!;
  for (let left = before.length - 1; left >= 0; left--)
    for (let right = after.length - 1; right >= 0; right--)
      common[left * width + right] =
        before[left] === after[right]
          ? at(left + 1, right + 1) + 1
          : Math.max(at(left + 1, right), at(left, right + 1));
  const out: Change[] = [];
  let [left, right] = [0, 0];
  while (left < before.length || right < after.length) {
    if (left < before.length && right < after.length && before[left] === after[right]) {
      out.push({ mark: ' ', line: before[left]! });
      left++;
      right++;
    } else if (left < before.length && (right === after.length || at(left + 1, right) >= at(left, right + 1)))
      out.push(removed(before[left++]!));
    else out.push(added(after[right++]!));
  }
  return out;
}
