"""A tiny bundle of every source whose catalogue has names that try to be markup, shell and Python."""

from dataclasses import replace

from index_store.content import BundleContent
from tiny_sources import full_content

HOSTILE_TITLE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> & 'quoted'"
HOSTILE_MERCHANT = 'O\'Brien "& Söhne" $(touch owned) `touch owned` \\ --include-history'
HOSTILE_ROWS = range(0, 300, 9)


def inspected_content() -> BundleContent:
    """FR has the hostile title and merchant in every ninth row, among them those of its sample user."""
    content = full_content(1)
    country = content.countries["FR"]
    titles, merchants = list(country.titles or ()), list(country.merchants or ())
    for row in HOSTILE_ROWS:
        titles[row] = f"{HOSTILE_TITLE} {row}"
        merchants[row] = HOSTILE_MERCHANT
    return replace(content, countries={**content.countries, "FR": replace(country, titles=titles, merchants=merchants)})
