/** What a check found, and how findings are printed: in categories, as `linkerd check` does. */

export type Result = 'success' | 'warning' | 'error';

export interface Finding {
  /** What was checked, as a statement that holds where the result is `success`. */
  readonly description: string;
  readonly result: Result;
  /** What was found instead. */
  readonly error?: string;
  /** What to do. */
  readonly hint?: string;
}

export interface Category {
  readonly categoryName: string;
  readonly checks: readonly Finding[];
}

const MARK: Readonly<Record<Result, string>> = { success: '√', warning: '‼', error: '×' };

export const ok = (description: string): Finding => ({ description, result: 'success' });
export const warning = (description: string, error: string, hint: string): Finding => ({
  description,
  result: 'warning',
  error,
  hint,
});
export const failure = (description: string, error: string, hint: string): Finding => ({
  description,
  result: 'error',
  error,
  hint,
});

/** `short`: only what is no success. */
export function formatFindings(categories: readonly Category[], short: boolean): string {
  const shown = categories
    .map(({ categoryName, checks }) => ({
      categoryName,
      checks: checks.filter(({ result }) => !short || result !== 'success'),
    }))
    .filter(({ checks }) => checks.length > 0);
  const blocks = shown.map(({ categoryName, checks }) =>
    [categoryName, '-'.repeat(categoryName.length), ...checks.flatMap(lines)].join('\n'),
  );
  return [...blocks, `Status check results are ${MARK[isGood(categories) ? 'success' : 'error']}`].join('\n\n');
}

/** As `linkerd check -o json`. */
export const findingsJson = (categories: readonly Category[]) => ({ success: isGood(categories), categories });

/** Warnings do not fail a check. */
export const isGood = (categories: readonly Category[]): boolean =>
  !categories.some(({ checks }) => checks.some(({ result }) => result === 'error'));

/** The findings with which a join cannot continue. */
export const errorsOf = (categories: readonly Category[]): Finding[] =>
  categories.flatMap(({ checks }) => checks.filter(({ result }) => result === 'error'));

function lines({ description, result, error, hint }: Finding): string[] {
  const more = [error, hint && `→ ${hint}`].filter((line) => line !== undefined && line !== '');
  return [`${MARK[result]} ${description}`, ...more.map((line) => `    ${line}`)];
}
