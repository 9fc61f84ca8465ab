/**
 * TypeScript source seen without its comments and strings, and where its functions begin and end: enough for the house
 * rules (house-rules.ts), without a parser.
 *
 *   source        const a = "x { y"; // why
 *   noComments    const a = "x { y";
 *   code          const a = "     ";
 *
 * Invariants: both views are as long as the source and have its line breaks, so offsets and line numbers agree.
 * Not chosen: the compiler's API. TypeScript 7 offers one only under `typescript/unstable`.
 *             A regular expression right behind `)` or `}` is taken for a division; none of our code has one there.
 */

export interface SourceViews {
  /** Comments blanked, strings kept. */
  readonly noComments: string;
  /** Comments and the contents of strings, templates and regular expressions blanked. */
  readonly code: string;
}

export function viewSource(source: string): SourceViews {
  const noComments = source.split('');
  const code = source.split('');
  const blank = (view: string[], start: number, end: number): void => {
    for (let i = start; i < end; i++) if (view[i] !== '\n') view[i] = ' ';
  };
  /** One entry per open `${`: how many braces are open inside it. */
  const substitutions: number[] = [];
  let i = 0;
  while (i < source.length) {
    const char = source[i]!;
    const isSubstitutionEnd = char === '}' && substitutions.at(-1) === 0;
    if (source.startsWith('//', i) || source.startsWith('/*', i)) {
      const end = endOfComment(source, i);
      blank(noComments, i, end);
      blank(code, i, end);
      i = end;
    } else if (char === '"' || char === "'" || (char === '/' && isRegexStart(code, i))) {
      const end = endOfLiteral(source, i, char);
      blank(code, i + 1, end - 1);
      i = end;
    } else if (char === '`' || isSubstitutionEnd) {
      if (isSubstitutionEnd) substitutions.pop();
      const end = endOfTemplateText(source, i + 1);
      blank(code, i + 1, end - 1);
      if (source[end - 1] === '{') substitutions.push(0);
      i = end;
    } else {
      if (substitutions.length > 0 && char === '{') substitutions[substitutions.length - 1]! += 1;
      if (substitutions.length > 0 && char === '}') substitutions[substitutions.length - 1]! -= 1;
      i++;
    }
  }
  return { noComments: noComments.join(''), code: code.join('') };
}

function endOfComment(source: string, start: number): number {
  const isLine = source[start + 1] === '/';
  const end = source.indexOf(isLine ? '\n' : '*/', start + 2);
  if (end === -1) return source.length;
  return isLine ? end : end + 2;
}

/** Behind the closing quote or slash (its flags are harmless); a literal that isn't closed ends with its line. */
function endOfLiteral(source: string, start: number, delimiter: string): number {
  let isInClass = false;
  for (let i = start + 1; i < source.length; i++) {
    const char = source[i]!;
    if (char === '\\') i++;
    else if (char === '\n') return i;
    else if (delimiter === '/' && (char === '[' || char === ']')) isInClass = char === '[';
    else if (char === delimiter && !isInClass) return i + 1;
  }
  return source.length;
}

/** Behind the closing backtick, or behind the brace of the next `${`. */
function endOfTemplateText(source: string, start: number): number {
  for (let i = start; i < source.length; i++) {
    if (source[i] === '\\') i++;
    else if (source[i] === '`') return i + 1;
    else if (source[i] === '$' && source[i + 1] === '{') return i + 2;
  }
  return source.length;
}

const WORDS_BEFORE_REGEX: ReadonlySet<string> = new Set(
  'return typeof case in of delete void throw new else do instanceof yield await'.split(' '),
);

/** `code` is blanked up to `position`, so what stands before it is never a comment. */
function isRegexStart(code: readonly string[], position: number): boolean {
  let i = position - 1;
  while (i >= 0 && /\s/.test(code[i]!)) i--;
  if (i < 0) return true;
  if (!/[\w$)\]}'"`]/.test(code[i]!)) return true;
  let word = '';
  while (i >= 0 && /[\w$]/.test(code[i]!)) word = code[i--]! + word;
  return WORDS_BEFORE_REGEX.has(word);
}

export interface FunctionSpan {
  /** What stands before the body, for messages. */
  readonly head: string;
  readonly startLine: number;
  readonly lineCount: number;
}

interface OpenBrace {
  readonly position: number;
  /** Where the statement that this brace belongs to begins. */
  readonly headStart: number;
  /** How many parentheses stood open around the brace. */
  readonly parentheses: number;
  readonly isFunction: boolean;
  /** An object or type literal: the statement around it goes on behind it. */
  readonly isInline: boolean;
}

const CONTROL_HEAD = /^\s*(?:else\s+)?(?:if|for|while|switch|catch|with)\b/;
const FUNCTION_HEAD = /\)\s*(?::[^;=]*)?$|=>\s*$/;
const INLINE_HEAD = /[:|&<,([=?]\s*$|\b(?:return|satisfies|as|extends)\s*$/;

/** Every function, method and block-bodied arrow of `code` (a {@link SourceViews.code}), inner ones first. */
export function findFunctions(code: string): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  const open: OpenBrace[] = [];
  let headStart = 0;
  let parentheses = 0;
  for (let i = 0; i < code.length; i++) {
    const char = code[i];
    if (char === '(') parentheses++;
    else if (char === ')') parentheses--;
    else if (char === '{') {
      const head = code.slice(headStart, i);
      const isInline = INLINE_HEAD.test(head) && !/=>\s*$/.test(head);
      const isFunction = !isInline && FUNCTION_HEAD.test(head) && !CONTROL_HEAD.test(head);
      open.push({ position: i, headStart, parentheses, isFunction, isInline });
      headStart = i + 1;
      parentheses = 0;
    } else if (char === '}') {
      const brace = open.pop();
      if (brace === undefined) continue;
      if (brace.isFunction) spans.push(spanOf(code, brace, i));
      headStart = brace.isInline ? brace.headStart : i + 1;
      parentheses = brace.parentheses;
    } else if (char === ';' && parentheses <= 0) {
      headStart = i + 1;
    }
  }
  return spans;
}

/** From the line of the parameter list to the line of the closing brace. */
function spanOf(code: string, brace: OpenBrace, end: number): FunctionSpan {
  const head = code.slice(brace.headStart, brace.position);
  const lineOf = (position: number): number => code.slice(0, position).split('\n').length;
  const startLine = lineOf(brace.headStart + parametersStart(head));
  return { head: head.replace(/\s+/g, ' ').trim(), startLine, lineCount: lineOf(end) - startLine + 1 };
}

function parametersStart(head: string): number {
  let depth = 0;
  for (let i = head.lastIndexOf(')'); i >= 0; i--) {
    if (head[i] === ')') depth++;
    else if (head[i] === '(') depth--;
    if (depth === 0) return i;
  }
  return head.length;
}
