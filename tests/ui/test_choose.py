"""Which probe to take, asked in words."""

from __future__ import annotations

from ui.fakes import make_app, screen_text, settle, type_text
from ui.recorded import recorded_app

from tracescope.catalog.topics import load_topics
from tracescope.ui.screens.choose import ChoiceList, ChooseScreen


async def test_words_give_the_probes_of_their_topic():
    async with recorded_app() as pilot:
        await pilot.press("f9")
        await type_text(pilot, "short-lived processes")
        choices = pilot.app.screen.query_one(ChoiceList).choices
        assert choices[0].title == "Short-lived processes"
        assert "tracepoint:sched:sched_process_exec" in {choice.probe for choice in choices}
        assert choices[0].why in screen_text(pilot.app).replace("\n ", " ")


async def test_enter_goes_to_the_probe_in_the_browser():
    async with recorded_app() as pilot:
        await pilot.press("f9")
        await type_text(pilot, "tcp retransmit")
        wanted = pilot.app.screen.query_one(ChoiceList).choices[0].probe
        await pilot.press("down", "enter")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, ChooseScreen)
        assert pilot.app.screen.input.value == wanted
        assert pilot.app.screen.table.selected.probe == wanted


async def test_without_words_every_topic_is_listed_and_enter_asks_for_it():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f9")
        await settle(pilot)
        rows = app.screen.query_one(ChoiceList)
        assert [choice.title for choice in rows.choices] == [topic.title for topic in load_topics()]
        await pilot.press("down", "enter")
        await settle(pilot)
        assert {choice.title for choice in rows.choices} == {load_topics()[0].title}


async def test_nonsense_says_what_to_type():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f9")
        await type_text(pilot, "qqqqxxzz")
        assert "no topic is like this" in screen_text(app)
        await pilot.press("down", "escape")
        assert not isinstance(app.screen, ChooseScreen)
