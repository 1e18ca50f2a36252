// <ks-app>: who is signed in, which page is shown, light or dark.

import { html, nothing, type TemplateResult } from "lit";
import { call, whenSignedOut } from "./api.ts";
import type { Session } from "./api-types.ts";
import { type IconName, icon } from "./icons.ts";
import { iconUrl } from "./sign-in.ts";
import { View } from "./view.ts";
import "./health-page.ts";
import "./sandboxes-page.ts";
import "./secrets-page.ts";
import "./toast.ts";
import "./traffic-page.ts";
import "./try-page.ts";

const pages = [
  { path: "secrets", title: "Secrets", icon: "secrets" },
  { path: "sandboxes", title: "Sandboxes", icon: "sandboxes" },
  { path: "traffic", title: "Traffic", icon: "traffic" },
  { path: "try", title: "Try it", icon: "try" },
  { path: "health", title: "Health", icon: "health" },
] as const satisfies readonly { path: string; title: string; icon: IconName }[];

type PagePath = (typeof pages)[number]["path"];
type Theme = "light" | "dark";

const THEME_KEY = "keyswap-theme";

class App extends View {
  /** Null: signed out. Undefined: not known yet. */
  #session: Session | null | undefined;
  #theme: Theme | undefined = readTheme();
  readonly #navigated = () => {
    this.requestUpdate();
    void this.updateComplete.then(() => {
      document.title = `${titleOf(pathOf())} – keyswap`;
      window.scrollTo(0, 0);
    });
  };

  override connectedCallback(): void {
    this.replaceChildren();
    super.connectedCallback();
    window.addEventListener("hashchange", this.#navigated);
    applyTheme(this.#theme);
    whenSignedOut(() => this.#enter(null));
    void call<Session>("GET", "/session").then(
      (session) => this.#enter(session),
      () => this.#enter(null),
    );
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.#navigated);
  }

  protected override render(): TemplateResult {
    if (this.#session === undefined) return html`<p class="starting">keyswap</p>`;
    if (this.#session === null) {
      return html`<ks-sign-in @signed-in=${(event: CustomEvent<Session>) => this.#enter(event.detail)}></ks-sign-in>
        <ks-toasts></ks-toasts>`;
    }
    const path = pathOf();
    return html`
      <a class="skip" href="#main" @click=${skipToMain}>Skip to content</a>
      <div class="shell">
        <header class="side">
          <a class="brand" href="#/secrets"><img src=${iconUrl()} alt="" width="28" height="28" /> keyswap</a>
          <nav aria-label="Pages">
            ${pages.map(
              (page) => html`<a href="#/${page.path}" aria-current=${page.path === path ? "page" : nothing}>
                ${icon(page.icon)}<span>${page.title}</span></a>`,
            )}
          </nav>
          <div class="who">
            <p><span class="help">Signed in as</span> <strong>${this.#session.name}</strong></p>
            ${this.#may("manage:secrets") ? nothing : html`<p class="badge">Read only</p>`}
            <div class="who-actions">${this.#themeButton()}
              <button type="button" class="icon-button" aria-label="Sign out" title="Sign out" @click=${() => void this.#signOut()}>
                ${icon("out")}</button></div>
          </div>
        </header>
        <main id="main" tabindex="-1">${this.#page(path, this.#session)}</main>
      </div>
      <ks-toasts></ks-toasts>`;
  }

  #page(path: PagePath, session: Session): TemplateResult {
    switch (path) {
      case "secrets":
        return html`<ks-secrets-page .session=${session}></ks-secrets-page>`;
      case "sandboxes":
        return html`<ks-sandboxes-page .session=${session}></ks-sandboxes-page>`;
      case "traffic":
        return html`<ks-traffic-page .session=${session}></ks-traffic-page>`;
      case "try":
        return html`<ks-try-page .session=${session}></ks-try-page>`;
      case "health":
        return html`<ks-health-page .session=${session}></ks-health-page>`;
      default:
        return path satisfies never;
    }
  }

  #themeButton(): TemplateResult {
    const next: Theme = shownTheme(this.#theme) === "dark" ? "light" : "dark";
    return html`<button type="button" class="icon-button" aria-label="Use the ${next} theme" title="Use the ${next} theme"
      @click=${() => this.#setTheme(next)}>${icon(next === "dark" ? "moon" : "sun")}</button>`;
  }

  #setTheme(theme: Theme): void {
    this.#theme = theme;
    applyTheme(theme);
    try {
      localStorage.setItem(THEME_KEY, theme);
    } catch {
      // Storage may be closed to us; the theme then lasts as long as the page.
    }
    this.requestUpdate();
  }

  #may(permission: string): boolean {
    return this.#session?.permissions.includes(permission) === true;
  }

  #enter(session: Session | null): void {
    this.#session = session;
    this.#navigated();
  }

  async #signOut(): Promise<void> {
    await call("DELETE", "/session").catch(() => {});
    this.#enter(null);
  }
}

/** What stands in the address after `#/`, up to a slash or a question mark. */
function pathOf(): PagePath {
  const name = /^#\/([a-z]+)/.exec(location.hash)?.[1];
  return pages.find((page) => page.path === name)?.path ?? "secrets";
}

function titleOf(path: PagePath): string {
  return pages.find((page) => page.path === path)?.title ?? "";
}

/** The address is the page's name, so a link to a part of the page must not change it. */
function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function readTheme(): Theme | undefined {
  try {
    const stored = localStorage.getItem(THEME_KEY);
    return stored === "light" || stored === "dark" ? stored : undefined;
  } catch {
    return undefined;
  }
}

function shownTheme(theme: Theme | undefined): Theme {
  return theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function applyTheme(theme: Theme | undefined): void {
  if (theme === undefined) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

customElements.define("ks-app", App);
